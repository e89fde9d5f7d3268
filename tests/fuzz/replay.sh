#!/bin/bash
# Every fuzz target takes its committed inputs, and mutations of them, without a broken promise. A target
# without inputs, or inputs without a target, are found too.
set -u
fail() {
    echo "FAIL: $*"
    exit 1
}
targets=$(cd "$srcdir/tests/fuzz" && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
corpora=$(ls "$srcdir/tests/fuzz/corpus")
[ "$targets" = "$corpora" ] || fail "targets and folders of inputs differ: $(diff <(echo "$targets") <(echo "$corpora"))"
for t in $targets; do
    echo "$t"
    "$builddir/tests/fuzz/fuzz_$t" --rounds "${FUZZ_ROUNDS:-500}" "$srcdir/tests/fuzz/corpus/$t" ||
        fail "$t; run it again with the seed above: TEST_SEED=... tests/fuzz/fuzz_$t tests/fuzz/corpus/$t"
done
