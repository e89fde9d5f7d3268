#!/bin/sh
# The dashboard's modules that need no browser.
if ! command -v node >/dev/null; then
    echo "SKIP: node is not installed (Debian package nodejs)"
    exit 77
fi
exec node "${srcdir:-.}/tests/web/modules.mjs"
