#!/bin/bash
# The n-th write, fsync or rename of a run fails, for a random choice of the n that a run comes to (IO_ALL=1: for
# every fsync and rename; of the hundreds of writes, each tensor being one, always a choice): the run ends with
# status 1 and names the file (or did not need it), whatever checkpoint is the newest can be read, and the
# same command goes on from there to the bytes of an undisturbed run.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
seed=${TEST_SEED:-$RANDOM}
echo "TEST_SEED=$seed"
RANDOM=$seed

cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=4,train=64,test=16,seed=3"},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":32,"lanes":2},
 "checkpoint":{"every_steps":1,"keep":2}}
J
train() { # OUT
    "$worker" train "$tmp/job.json" --out "$1" >"$tmp/log" 2>&1
}
train "$tmp/whole" || { cat "$tmp/log"; fail "without a fault: status $?"; }

for op in write fsync rename; do
    failed=0 spared=0 n=0
    # Some writes are only worth a warning; four in a row that do no harm are past the end.
    while [ $spared -lt 4 ]; do
        n=$((n + 1))
        [ $op = write ] && [ $n -gt 3 ] && n=$((n + RANDOM % 60))
        [ $op != write ] && [ -z "${IO_ALL:-}" ] && [ $n -gt 4 ] && n=$((n + RANDOM % 3))
        [ $n -lt 2000 ] || fail "$op: no end after $n"
        out=$tmp/$op-$n
        DISTILLD_FAULT=io:$op:$n train "$out"
        status=$?
        if [ $status = 0 ]; then
            spared=$((spared + 1))
            same "$tmp/whole" "$out" "io:$op:$n, which did no harm"
        else
            [ $status = 1 ] || { cat "$tmp/log"; fail "io:$op:$n: status $status"; }
            grep -qE "^distill-worker train: .*$op $tmp/.*Input/output error" "$tmp/log" ||
                { cat "$tmp/log"; fail "io:$op:$n: the file is not named"; }
            failed=$((failed + 1)) spared=0
            train "$out" || { cat "$tmp/log"; fail "after io:$op:$n: status $?"; }
            # One without its .json was not finished, and says so; all others verify.
            ! grep 'warning: .*checkpoint' "$tmp/log" | grep -v 'no .json beside it' ||
                { cat "$tmp/log"; fail "io:$op:$n left a checkpoint that does not verify"; }
            same "$tmp/whole" "$out" "after io:$op:$n"
        fi
        left=$(find "$out" -name '*.tmp-*')
        [ -z "$left" ] || fail "io:$op:$n left $left"
        rm -rf "$out"
    done
    echo "$op: $failed failures"
    [ $failed -ge 5 ] || fail "$op: only $failed runs failed"
done
exit 0
