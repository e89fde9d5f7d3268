#!/bin/bash
# Between two attempts a job waits, longer each time; it says why and until when, holds up nobody meanwhile,
# and a daemon that is killed does not forget. A user's retry, and an attempt that lasted, begin to count anew.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

says() { # PATH FILTER WANTED WHAT
    api GET "$1"
    [ "$(body "$2")" = "$3" ] || fail "$4: $text"
}

spec=$(distill_job '.train.epochs = 100 | .resources.ranks = 2 | .train.lanes = 2 |
    .checkpoint = {every_steps: 3, every_epochs: null, keep: 3} |
    .retry = {max_attempts: 3, backoff_s: 60, backoff_max_s: 90}')
start_daemon
post_job "$spec"
expect 202 "submitting"
id=$(body .id)

strike() {
    wait_state "$id" running
    # shellcheck disable=SC2046
    kill -9 $(pids_of mpirun)
    wait_state "$id" queued
}

at_ms() { # TIME
    date -d "$1" +%s%3N
}

# Of the attempt before: its end, and how long after it the next may start.
pause_within() { # LEAST MOST
    local ended pause
    ended=$(get "/api/v1/jobs/$id/attempts" '.items[-1].ended_at')
    pause=$(($(at_ms "$(get "/api/v1/jobs/$id" .not_before)") - $(at_ms "$ended")))
    [ $pause -ge "$1" ] && [ $pause -le "$2" ] || fail "it pauses $pause ms, not $1 to $2"
}

# 60 s, give or take a fifth. Its slots are free meanwhile, and the pause outlives the daemon.
strike
pause_within 48000 72000
says "/api/v1/jobs/$id" '[.reason.code, (.failures | tostring)] | join(" ")' 'infra {"infra":1}' "why it waits"
[[ $(body .reason.message) == "attempt 1 (infra 1 of 3, goes on after "*" s): ended by signal 9 (SIGKILL)"* ]] || fail "why it waits: $text"
until=$(body .not_before)
shown=$(ctl show "$id")
[[ $shown =~ "not before "\ *"$until (in " && $shown =~ "failures "\ *"infra 1"$'\n' ]] || fail "show: $shown"
post_job "$(job '.train.max_steps = 1 | .resources.ranks = 2 | .train.lanes = 2')"
other=$(body .id)
wait_state "$other" succeeded
kill_daemon
start_daemon
says "/api/v1/jobs/$id" '[.state, .not_before, .reason.code] | join(" ")' "queued $until infra" "a daemon that starts again"

# Nobody waits for a user who asks for it now; then counting begins anew.
verb "$id" cancel
wait_state "$id" cancelled
says "/api/v1/jobs/$id" .not_before null "nothing is to come"
verb "$id" retry
says "/api/v1/jobs/$id" '[(.failures | tostring), .not_before] | tostring' '["{}",null]' "after a user's retry"
strike
says "/api/v1/jobs/$id" '.failures | tostring' '{"infra":1}' "a user's retry did not begin anew"
verb "$id" cancel
wait_state "$id" cancelled

# When the time has come the job goes on.
post_job "$(jq -c '.retry = {max_attempts: 3, backoff_s: 5, backoff_max_s: 6}' <<<"$spec")"
id=$(body .id)
strike
until=$(get "/api/v1/jobs/$id" .not_before)
wait_state "$id" running
says "/api/v1/jobs/$id" .not_before null "it runs, and still waits"
! [ "$(get "/api/v1/jobs/$id/attempts" '.items[1].started_at')" \< "$until" ] || fail "it did not wait until $until"
verb "$id" cancel
wait_state "$id" cancelled

# With reset_s 0 every attempt has lasted: there is no end to them.
post_job "$(jq -c '.retry = {max_attempts: 2, backoff_s: 0, reset_s: 0}' <<<"$spec")"
id=$(body .id)
runs_attempt() { # NUMBER
    [ "$(get "/api/v1/jobs/$id" '[.attempt, .state] | tostring')" = "[$1,\"running\"]" ]
}
for n in 1 2 3; do
    within 30 runs_attempt $n || fail "attempt $n: $(get "/api/v1/jobs/$id" .)"
    # shellcheck disable=SC2046
    [ $n = 3 ] || kill -9 $(pids_of mpirun)
done
verb "$id" cancel
wait_state "$id" cancelled
says "/api/v1/jobs/$id/attempts" '[.items[].class] | tostring' '["infra","infra",null]' "classes"
stop_daemon
