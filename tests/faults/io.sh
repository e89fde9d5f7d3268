#!/bin/bash
# The n-th write, fsync or rename of a run fails, for a random choice of the n that a run comes to (IO_ALL=1: for
# every fsync and rename; of the hundreds of writes, each tensor being one, always a choice): the run names the file and
# either goes on without, or ends with status 1; whatever checkpoint is the newest can be read, and the
# same command goes on from there to the bytes of an undisturbed run. When all fail from then on, no run succeeds.
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

named() { # WHAT
    grep -qE "^(distill-worker train|warning): .*$op $tmp/.*Input/output error" "$tmp/log" ||
        { cat "$tmp/log"; fail "$1: the file is not named"; }
}

# The same command, after a run that ended with status 1.
goes_on() { # OUT WHAT
    train "$1" || { cat "$tmp/log"; fail "after $2: status $?"; }
    # One without its .json was not finished, and says so; all others verify.
    ! grep 'warning: .*checkpoint' "$tmp/log" | grep -v 'no .json beside it' ||
        { cat "$tmp/log"; fail "$2 left a checkpoint that does not verify"; }
    same "$1" "$tmp/whole" "after $2"
}

for op in write fsync rename; do
    failed=0 late=0 spared=0 n=0
    # Some writes are only worth a warning; four in a row that do no harm are past the end.
    while [ $spared -lt 4 ]; do
        n=$((n + 1))
        [ $op = write ] && [ $n -gt 3 ] && n=$((n + RANDOM % 60))
        [ $op != write ] && [ -z "${IO_ALL:-}" ] && [ $n -gt 4 ] && n=$((n + RANDOM % 3))
        [ $n -lt 2000 ] || fail "$op: no end after $n"
        out=$tmp/$op-$n
        DISTILLD_FAULT=io:$op:$n train "$out"
        status=$?
        spared=$((spared + 1))
        if [ $status = 0 ] && grep -q "Input/output error" "$tmp/log"; then
            named "io:$op:$n"
            late=$((late + 1)) spared=0
        elif [ $status != 0 ]; then
            [ $status = 1 ] || { cat "$tmp/log"; fail "io:$op:$n: status $status"; }
            named "io:$op:$n"
            failed=$((failed + 1)) spared=0
            goes_on "$out" "io:$op:$n"
        fi
        # A checkpoint that could not be written is not there; all else is.
        same "$out" "$tmp/whole" "io:$op:$n, status $status"
        [ -e "$out/result.json" ] || fail "io:$op:$n: no result"
        left=$(find "$out" -name '*.tmp-*')
        [ -z "$left" ] || fail "io:$op:$n left $left"
        rm -rf "$out"
    done
    echo "$op: $failed failures, $late late"
    [ $((failed + late)) -ge 5 ] || fail "$op: only $((failed + late)) runs had a failure"
    [ $failed -ge 1 ] || fail "$op: no run ended"
    [ $late -ge 1 ] || fail "$op: no run went on"
    n=$((1 + RANDOM % 5)) out=$tmp/$op-on
    DISTILLD_FAULT=io:$op:$n+ train "$out"
    status=$?
    [ $status = 1 ] || { cat "$tmp/log"; fail "io:$op:$n+: status $status"; }
    named "io:$op:$n+"
    goes_on "$out" "io:$op:$n+"
done
exit 0
