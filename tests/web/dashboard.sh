#!/bin/bash
# The dashboard in a real browser, against a real daemon and a job of two ranks.
build=${builddir:?}
skip() {
    echo "SKIP: $*"
    exit 77
}
command -v node >/dev/null || skip "node is not installed (Debian package nodejs)"
CHROMIUM=$(command -v chromium) || skip "no browser is installed (Debian package chromium)"
[ -d "$build/tests/web/npm/node_modules/playwright-core" ] || skip "playwright-core is missing (make web-tests)"
[ -f "$build/client/web/vendor/uPlot.esm.js" ] || skip "uPlot is missing (make web)"
export CHROMIUM

tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-web-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
node "${srcdir:?}/tests/web/dashboard.mjs" "$tmp" && exit 0
cat "$tmp/daemon.log"
exit 1
