# Sourced by the tests of exported models. "SKIP" without a foreign runtime.
# shellcheck shell=bash
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
npm=${builddir:?}/tests/onnx/npm
command -v node >/dev/null || { echo "SKIP: node is not installed (Debian package nodejs)"; exit 77; }
[ -d "$npm/node_modules/onnxruntime-node" ] || { echo "SKIP: onnxruntime-node is missing (make web-tests)"; exit 77; }

reference() { # ARGS...
    "$builddir/tests/onnx/reference" "$@" || fail "reference $*"
}

export_model() { # NAME WEIGHTS CLASSES SIZE
    "$worker" export "$2" -o "$tmp/$1.onnx" --model "$1" --classes "$3" --size "$4" >/dev/null ||
        fail "export of $1: status $?"
}

compare() {
    node "$srcdir/tests/onnx/runtime.mjs" "$npm" "$tmp" || fail "other results in onnxruntime"
}
