#!/bin/bash
# An attempt that is killed, by whichever of its processes, is followed by another one that goes on from
# the checkpoint and ends in the bytes of an undisturbed run.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec=$(distill_job '.train.epochs = 25 | .checkpoint = {every_steps: 3, every_epochs: null, keep: 3} |
    .retry.max_attempts = 4')
start_daemon
calm_run "$spec" "$tmp/calm"

of_attempt() { # NUMBER
    grep -lzsx "DISTILLD_ATTEMPT=$id.$1" /proc/[0-9]*/environ | tr -dc '0-9\n'
}

begun() { # NUMBER
    [ -n "$(of_attempt "$1")" ]
}

has_started() { # NUMBER
    read_starts "$id"
    [ ${#started[@]} = "$1" ]
}

# Waits until this attempt has done STEPS of its own.
wait_work() { # NUMBER STEPS
    within 20 has_started "$1" || fail "attempt $1 does not start: $(get "/api/v1/jobs/$id" .)"
    within 20 has_steps "$id" $((went_on_from + $2)) || fail "attempt $1 makes no progress"
}

launcher=$("$builddir/distill-shim" --print-mpirun -- true)

# Kills one process of the running attempt once STEPS are done, and waits for the next attempt.
strike() { # ATTEMPT STEPS PIDS...
    local memory='' p
    wait_work "$1" "$2"
    for p in $(pids_of worker); do
        memory+=$(grep -o '/dev/shm/vader_segment[^ ]*' "/proc/$p/maps" | sort -u)$'\n'
    done
    [[ $memory == */vader* || $launcher == *mpich* ]] || fail "the ranks share no memory that could be left"
    # shellcheck disable=SC2046
    kill -9 $("${@:3}")
    within 20 begun $(($1 + 1)) || fail "no attempt after attempt $1: $(get "/api/v1/jobs/$id" .)"
    ! begun "$1" || fail "attempt $(($1 + 1)) started beside attempt $1"
    for p in $memory; do
        [ ! -e "$p" ] || fail "shared memory was left: $p"
    done
}

post_job "$spec"
expect 202 "submitting"
id=$(body .id)
strike 1 5 pid_of_rank 1
strike 2 4 pids_of mpirun
strike 3 4 pids_of shim
wait_state "$id" succeeded
same_run "$state/jobs/$id/out" "$tmp/calm"
same_metrics "$id"
last=0
for n in 2 3 4; do
    at=$(resumed_from "$id" $n)
    [ "$at" != null ] && [ "$at" -gt "$last" ] || fail "attempt $n began at $at"
    last=$at
done

api GET "/api/v1/jobs/$id/attempts"
[ "$(body '[.items[] | [.attempt, .lost, .class]] | tostring')" = '[[1,false,"infra"],[2,false,"infra"],[3,true,"infra"],[4,false,null]]' ] || fail "attempts: $text"
[ "$(body '.items[0] | .status == 137 and (.message | test("rank 1 .*signal 9"))')" = true ] || fail "a rank's end: $text"
[ "$(body '.items[1].signal')" = 9 ] || fail "mpirun's end: $text"
[ "$(body '[.items[3].status, .items[3].signal] | tostring')" = '[0,null]' ] || fail "the last end: $text"
[ "$(body '.items as $a | [range(1; 4)] | all($a[. - 1].ended_at <= $a[.].started_at)')" = true ] ||
    fail "attempts overlap: $text"
[ "$(get "/api/v1/jobs/$id/events" '[.items[].state] | join(" ")')" = \
    "queued starting running queued starting running queued starting running queued starting running succeeded" ] ||
    fail "history: $(get "/api/v1/jobs/$id/events" .)"
[ "$(get "/api/v1/jobs/$id/events" '[.items[] | select(.code == "infra").message] | length')" = 3 ] ||
    fail "the history does not say why"

stop_daemon
