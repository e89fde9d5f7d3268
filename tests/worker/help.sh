#!/bin/sh
# Every command of distill-worker has help, and the whole text is what worker/help.txt says; unknown commands
# and options are usage errors. After a change that is meant:
#   make distill-worker && tests/worker/help.sh --update
set -u
here=$(cd "$(dirname "$0")" && pwd)
worker=${builddir:-.}/distill-worker
status=0

fail() {
    echo "$*"
    status=1
}

commands=$("$worker" --help | sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
[ "$(echo "$commands" | wc -l)" -ge 11 ] || fail "too few commands: $commands"

whole=$(
    "$worker" --help
    for command in $commands; do
        printf '\n--- %s\n' "$command"
        "$worker" "$command" --help
    done
)
for command in $commands; do
    said=$("$worker" "$command" --no-such-option 2>&1)
    [ $? -eq 2 ] || fail "$command accepts an unknown option"
    case $said in
    *no-such-option*) ;;
    *) fail "$command does not name the unknown option: $said" ;;
    esac
done

long=$(echo "$whole" | grep -n '.\{101,\}') && fail "lines of more than 100 characters: $long"
if [ "${1:-}" = --update ]; then
    echo "$whole" >"$here/help.txt"
else
    echo "$whole" | diff -u "$here/help.txt" - || fail "the help has changed; see $0"
fi
exit $status
