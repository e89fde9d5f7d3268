#!/bin/sh
# Every command of distillctl's table has help, the same by both ways to ask for it, and the whole text
# is what client/help.txt says. After a change that is meant:
#   make distillctl && tests/client/help.sh --update
set -u
here=$(cd "$(dirname "$0")" && pwd)
ctl=${builddir:-.}/distillctl
unset DISTILLD_SERVER DISTILLD_TOKEN_FILE DISTILLD_STATE
status=0

fail() {
    echo "$*"
    status=1
}

commands=$("$ctl" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -v '^help$')
[ "$(echo "$commands" | wc -l)" -ge 12 ] || fail "too few commands: $commands"

whole=$(
    "$ctl" --help
    for command in $commands; do
        printf '\n--- %s\n' "$command"
        # What all commands share stands in the overview.
        "$ctl" help "$command" | sed '/^Every command:/,$d'
    done
)
for command in $commands; do
    [ "$("$ctl" help "$command")" = "$("$ctl" "$command" --help)" ] ||
        fail "help $command and $command --help differ"
    "$ctl" "$command" --no-such-option >/dev/null 2>&1
    [ $? -eq 2 ] || fail "$command accepts an unknown option"
done

long=$(echo "$whole" | grep -n '.\{101,\}') && fail "lines of more than 100 characters: $long"
if [ "${1:-}" = --update ]; then
    echo "$whole" >"$here/help.txt"
else
    echo "$whole" | diff -u "$here/help.txt" - || fail "the help has changed; see $0"
fi

"$ctl" >/dev/null 2>&1
[ $? -eq 2 ] || fail "no command is not a usage error"
said=$("$ctl" submt 2>&1)
[ $? -eq 2 ] || fail "an unknown command is not a usage error"
case $said in
*"did you mean 'submit'"*) ;;
*) fail "no suggestion for an unknown command: $said" ;;
esac
exit $status
