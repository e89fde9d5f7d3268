#!/bin/bash
# A job whose time is over stops with a checkpoint, and a daemon that was started again knows how long it has run. The
# queue plans with the limits: a short job starts before its turn where the first in line need not wait for it.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

says() { # PATH FILTER WANTED WHAT
    api GET "$1"
    [ "$(body "$2")" = "$3" ] || fail "$4: $text"
}

long='.train.epochs = 1000000 | .checkpoint = {every_steps: 5, every_epochs: null}'
start_daemon
post_job "$(job "$long | .time_limit_s = 6")"
expect 202 "submitting"
id=$(body .id)
wait_state "$id" running
kill_daemon
start_daemon
wait_state "$id" failed
says "/api/v1/jobs/$id" '[.reason.code, .attempt, .failures] | tostring' '["time_limit",1,{}]' "its end"
[ "$(body '.ran_s >= 6 and .ran_s < 6 + 20 * '"$PATIENCE")" = true ] || fail "it ran too long or too short: $text"
[[ $(body .reason.message) == "ran for "*" s, and its time_limit_s is 6.0; its newest checkpoint is kept" ]] || fail "its reason: $text"
ctl watch "$id" >/dev/null 2>&1
[ $? = 4 ] || fail "the exit status of a client is not 4"
ls "$state/jobs/$id"/out/checkpoints/*.safetensors >/dev/null || fail "it left no checkpoint"
step=$(get "/api/v1/jobs/$id" .progress.step)
verb "$id" retry
goes_on() {
    [ "$(resumed_from "$id" 2)" -ge "$((step - 5))" ] 2>/dev/null
}
within 30 goes_on || fail "a retry goes on at $(resumed_from "$id" 2), not at $step"
verb "$id" cancel
wait_state "$id" cancelled

# An attempt that ended while no daemon ran did not run until one came again, whether somebody saw its end or not.
for victims in "pids_of mpirun" attempt_pids; do
    post_job "$(job "$long | .time_limit_s = 8")"
    id=$(body .id)
    wait_steps "$id" 3
    kill_daemon
    # shellcheck disable=SC2046
    kill -9 $($victims)
    within 10 no_attempts || fail "the attempt goes on: $(attempt_pids)"
    pause 8
    start_daemon
    goes_on() { # with the second attempt
        api GET "/api/v1/jobs/$id"
        [ "$(body '[.attempt, .state] | tostring')" = '[2,"running"]' ]
    }
    within 20 goes_on || fail "the daemon was away, and its job has no time left: $(get "/api/v1/jobs/$id" .)"
    [ "$(body '.ran_s > 0 and .ran_s < 8')" = true ] || fail "its first attempt ran for $(body .ran_s) s"
    verb "$id" cancel
    wait_state "$id" cancelled
done

# Nor one that ended while the daemon stood still.
submit "$long | .time_limit_s = 8"
wait_steps "$id" 3
kill -STOP "$daemon"
# shellcheck disable=SC2046
kill -9 $(pids_of worker)
pause 9
kill -CONT "$daemon"
within 20 goes_on || fail "the daemon stood still, and its job has no time left: $(get "/api/v1/jobs/$id" .)"
verb "$id" cancel
wait_state "$id" cancelled

# A cancel that leaves more time than the limit does not lift it: ranks that stand still end soon after it.
submit "$long | .time_limit_s = 3"
wait_steps "$id" 1
# shellcheck disable=SC2046
kill -STOP $(pids_of worker)
ctl cancel --grace 3600 "$id" >/dev/null || fail "cancel --grace"
wait_state "$id" cancelled 30

# Two slots. The first job leaves its one in 100 s, and the second needs both.
one="$long | .resources.ranks = 1"
submit_one() { # FILTER
    post_job "$(job "$1")"
    expect 202 "submitting $1"
    id=$(body .id)
}
submit_one "$one | .time_limit_s = 100"
first=$id
wait_state "$first" running
submit_one "$long | .resources.ranks = 2 | .time_limit_s = 50"
both=$id
is_planned() {
    [ "$(get "/api/v1/jobs/$both" .planned_start)" != null ]
}
within 10 is_planned || fail "nothing is planned: $(get "/api/v1/jobs/$both" .)"
[[ $(ctl show "$both") =~ "planned start "\ *[^\ ]+\ "(in " ]] || fail "show: $(ctl show "$both")"
in_s=$(($(date -d "$(get "/api/v1/jobs/$both" .planned_start)" +%s) - $(date -d "$(get "/api/v1/jobs/$first" .started_at)" +%s)))
[ $in_s -ge 95 ] && [ $in_s -le 102 ] || fail "the second is to start $in_s s after the first, whose limit is 100 s"
submit_one "$one"
endless=$id
submit_one "$one | .time_limit_s = 1000"
too_long=$id
submit_one '.resources.ranks = 1 | .train.max_steps = 2 | .time_limit_s = 20'
short=$id
wait_state "$short" succeeded
for waits in "$both" "$endless" "$too_long"; do
    says "/api/v1/jobs/$waits" '[.state, .attempt, .reason.code] | tostring' '["queued",0,"waiting_for_slots"]' "it overtook"
done
for id in "$first" "$both" "$endless" "$too_long"; do
    verb "$id" cancel
done
for id in "$first" "$both" "$endless" "$too_long"; do
    wait_state "$id" cancelled
done
stop_daemon
