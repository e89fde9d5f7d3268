#!/bin/bash
# The description of the API: well formed by a linter, and true of the answers of a real daemon.
build=${builddir:?}
skip() {
    echo "SKIP: $*"
    exit 77
}
command -v node >/dev/null || skip "node is not installed (Debian package nodejs)"
modules=$build/tests/web/npm/node_modules
[ -f "$modules/ajv/package.json" ] && [ -d "$modules/@redocly/cli" ] || skip "redocly and ajv are missing (make web-tests)"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-openapi-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
export HOME=$tmp REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
cd "$tmp" || exit 99
node "$modules/@redocly/cli/bin/cli.js" lint "${srcdir:?}/proto/wire/openapi.yaml" >"$tmp/lint" 2>&1 ||
    { cat "$tmp/lint"; exit 1; }
node "${srcdir:?}/tests/web/openapi.mjs" "$tmp" && exit 0
cat "$tmp/daemon.log"
exit 1
