#!/bin/bash
# Every operator that is written as ONNX, by itself: a foreign runtime computes the same.
. "${srcdir:?}/tests/onnx/lib.sh"

"$builddir/tests/onnx/operators" "$tmp" || fail "operators: status $?"
node "$srcdir/tests/onnx/operators.mjs" "$npm" "$tmp" || fail "other results in onnxruntime"
exit 0
