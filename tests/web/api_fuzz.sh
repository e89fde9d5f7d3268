#!/bin/bash
# Requests made at random after the description of the API, to a real daemon. By hand:
#   builddir=$PWD srcdir=../.. ../../tests/web/api_fuzz.sh 20000 [SEED]
build=${builddir:?}
skip() {
    echo "SKIP: $*"
    exit 77
}
command -v node >/dev/null || skip "node is not installed (Debian package nodejs)"
[ -f "$build/tests/web/npm/node_modules/ajv/package.json" ] || skip "ajv is missing (make web-tests)"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-fuzz-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
node "${srcdir:?}/tests/web/api_fuzz.mjs" "$tmp" "$@" && exit 0
tail -n 20 "$tmp/daemon.log"
exit 1
