#!/bin/bash
# A rank that stands still is found, named and shown with its stacks; the job goes on in another attempt
# and ends in the bytes of an undisturbed run. One that is stopped and continued in time costs nothing.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec='.train.epochs = 6 | .checkpoint = {every_steps: 3, every_epochs: null, keep: 3} | .watchdog.stall_s = 2'
start_daemon
submit "$spec | .name = \"calm\""
calm=$id
wait_state "$calm" succeeded

same_bytes() {
    local f
    for f in student.safetensors metrics.jsonl; do
        cmp -s "$state/jobs/$id/out/$f" "$state/jobs/$calm/out/$f" || fail "$1: $f differs from an undisturbed run's"
    done
}

# The job runs with a fault of rank 1 in its first attempt, under a daemon of its own.
hang() { # KIND WHAT
    kill_daemon
    DISTILLD_FAULT=rank:1,step:5,kind:$1 start_daemon
    submit "$spec | .name = \"$1\""
    wait_state "$id" succeeded 60
    same_bytes "$1"
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '[.items[] | .class] | tostring')" = '["hang",null]' ] || fail "$1: classes: $text"
    [[ $(body '.items[0].message') =~ ^"rank 1 on host "[^ ]*" has "$2 ]] || fail "$1: message: $text"
    [ "$(get "/api/v1/jobs/$id/events" '[.items[] | select(.code == "hang")] | length')" = 1 ] ||
        fail "$1: history: $(get "/api/v1/jobs/$id/events" .)"
    log=$state/jobs/$id/out/logs
    grep -q "^distill-shim: rank 1 on host .* has $2" "$log/rank-0.log" || fail "$1: the log does not say why"
    ! grep -q "^distill-shim: rank 0 " "$log/rank-0.log" || fail "$1: the rank that waits is blamed"
    grep -q "trainer_run" "$log/rank-0.log" || fail "$1: no stacks of rank 0"
}

hang spin "made no progress for .* at step 5, train, computing"
grep -q "(fault_strike+" "$log/rank-1.log" || fail "spin: stacks of rank 1: $(cat "$log/rank-1.log")"
hang sleep "made no progress for .* at step 5, train, computing"
grep -q "(fault_strike+" "$log/rank-1.log" || fail "sleep: stacks of rank 1: $(cat "$log/rank-1.log")"
hang stop "been silent"
grep -q "rank 1 (process [0-9]*) has been silent for .*T (stopped)" "$log/rank-0.log" || fail "stop: $(cat "$log/rank-0.log")"
grep -q "  thread [0-9]*: T (stopped)" "$log/rank-0.log" || fail "stop: the kernel's view is missing"

# Stopped for a while: a rank, the shim, and all of them.
kill_daemon
start_daemon
submit "$spec | .name = \"paused\" | .watchdog.stall_s = 10"
wait_steps "$id" 2
log=$state/jobs/$id/out/logs/rank-0.log
rank=$(pid_of_rank 1)
kill -STOP "$rank"
within 9 grep -q "rank 1 .*T (stopped)" "$log" || fail "a stopped rank is not shown: $(cat "$log")"
kill -CONT "$rank"
within 9 grep -q "rank 1 is back" "$log" || fail "a continued rank is not shown: $(cat "$log")"
wait_state "$id" succeeded
same_bytes paused
[ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "a pause has cost an attempt"

stop_daemon
