#!/bin/sh
# Every lint passes on the tree and rejects its fixture (so that a lint which has gone blind is found).
set -u
cd "${srcdir:-.}" || exit 99
here=tests/lint
files=$(find proto worker daemon client tests -name '*.[ch]' ! -name '*.pb-c.*' ! -path '*/fixtures/*' | sort)
status=0
for lint in layers banned format; do
    # shellcheck disable=SC2086
    "$here/$lint" $files
    case $? in
    0) ;;
    77) exit 77 ;;
    *) echo "lint: $lint: the files above"; status=1 ;;
    esac
    for fixture in $(find "$here/fixtures/$lint" -type f); do
        if "$here/$lint" "$fixture" >/dev/null 2>&1; then
            echo "lint: $lint accepts $fixture, which it must reject"
            status=1
        fi
    done
done
exit $status
