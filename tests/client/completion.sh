#!/bin/bash
# Real shells complete commands, options, values and files of distillctl, from what it says itself.
set -u
builddir=$(cd "${builddir:-.}" && pwd)
PATH=$builddir:$PATH
unset "${!DISTILLD_@}"
export DISTILLD_SERVER=http://127.0.0.1:1 # no server: ids are completed quietly to nothing
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
    echo "FAIL: $*"
    exit 1
}

mkdir "$tmp/here" "$tmp/here/folder"
touch "$tmp/here/spec.yaml"
cd "$tmp/here" || exit 99

# What is offered for a line that ends in the word to complete, which is empty after a space.
cat >"$tmp/cases" <<'T'
distillctl c=cancel checkpoint checkpoints clone compare completion
distillctl --json su=submit
distillctl --server validate va=validate
distillctl help fe=fetch
distillctl submit x.json --s=--server --set --simulate --state
distillctl list --w=
distillctl fetch x -o f=folder
distillctl fetch x --out f=folder
distillctl submit s=spec.yaml
distillctl --token-file x submit --wait s=spec.yaml
distillctl submit spec.yaml s=
distillctl show =
distillctl metrics x --name =
distillctl nonsense =
distillctl submit --preset kd/resnet3=kd/resnet32x4-resnet8x4 kd/resnet32x4-shufflenetv1 kd/resnet32x4-shufflenetv2 kd/resnet34-resnet18
distillctl submit --data x --preset reviewkd++/wrn=reviewkd++/wrn_40_2-wrn_40_1
distillctl presets dkd++/resnet15=dkd++/resnet152-resnet18
distillctl completion =bash fish zsh
distillctl checkpoints x =pin rm unpin
T
cut -d = -f 1 "$tmp/cases" >"$tmp/lines"
echo "distillctl " >>"$tmp/lines"
echo "distillctl =$(distillctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | sort | xargs)" >>"$tmp/cases"

# Each reads lines and prints "line=candidate candidate ..." as its shell has them.
offer_bash() {
    bash --norc -c 'eval "$(distillctl completion bash)" || exit
        while IFS= read -r line; do
            read -ra COMP_WORDS <<<"${line% *}"
            COMP_WORDS+=("${line##* }")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _distillctl
            echo "$line=$(printf "%s\n" "${COMPREPLY[@]}" | sort | xargs)"
        done'
}

# The functions of zsh that show candidates need its line editor; here they print what they are given.
offer_zsh() {
    zsh -f -c 'compdef() { [[ "$*" == "_distillctl distillctl" ]] || exit 1 }
        _describe() { print -rl -- "${(@)${(@P)2}%%:*}" }
        _files() { if [[ "${1:-}" == -/ ]]; then print -rl -- $words[CURRENT]*(/); else print -rl -- $words[CURRENT]*; fi }
        eval "$(distillctl completion zsh)" || exit
        while IFS= read -r line; do
            words=(${=line% *} "${line##* }") CURRENT=$#words
            print -r -- "$line=$(_distillctl | sort | xargs)"
        done'
}

offer_fish() {
    HOME=$tmp fish --no-config -c 'distillctl completion fish | source
        while read -l line
            printf "%s=%s\n" "$line" (complete -C "$line" | cut -f 1 | sed "s:/\$::" | sort | string join " ")
        end'
}

missing=
for shell in bash zsh fish; do
    if command -v $shell >/dev/null; then
        "offer_$shell" <"$tmp/lines" >"$tmp/got" 2>"$tmp/err"
        diff "$tmp/cases" "$tmp/got" || fail "$shell offers something else: $(cat "$tmp/err")"
        [ ! -s "$tmp/err" ] || fail "$shell: $(cat "$tmp/err")"
        echo "$shell: as it should be"
    else
        missing="$missing $shell"
    fi
done
distillctl completion tcsh 2>"$tmp/err"
[ $? -eq 2 ] || fail "tcsh is no error"
[ -z "$missing" ] || { echo "SKIP: not installed:$missing"; exit 77; }
