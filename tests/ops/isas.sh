#!/bin/bash
# The kernels for processors that have less than this one, oneDNN's and ours, agree with the reference as well.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

isa() { # the first word of what a run says it was computed with
    "$builddir/distill-worker" bench --student resnet8 --method none --nd 0 --batch 1 --size 8 --lanes 1 --steps 1 \
        --repeats 1 --warmup 1 | jq -r '.isa | split(",")[0]'
}

check() { # ISA NAME TEST...
    local test
    export ONEDNN_MAX_CPU_ISA=$1
    [ "$(isa)" = "$2" ] || { echo "this processor computes with $best, and cannot with $2"; return; }
    for test in "${@:3}"; do
        CK_RUN_CASE=$test "$builddir/tests/ops/test_ops" >"$tmp/out" 2>&1 || { cat "$tmp/out"; fail "$2: $test"; }
        grep -q '^100%: Checks: 1,' "$tmp/out" || { cat "$tmp/out"; fail "$test was not run"; }
    done
}

best=$(isa)
check AVX2 avx2 back_ends_agree threads_do_not_show_in_our_kernels convolutions_of_training_are_rounded_once
# Convolutions are oneDNN's there.
check SSE41 sse41 back_ends_agree threads_do_not_show_in_our_kernels
