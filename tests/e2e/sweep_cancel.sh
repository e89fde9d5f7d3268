#!/bin/bash
# Sweeps that do not go well: one of a million jobs is accepted with few rows and cancelled without leaving
# anything behind; jobs that cannot be run or fail make the sweep fail, and are run again with it.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
count() { # SWEEP [QUERY]
    get "/api/v1/jobs?sweep=$1&page_size=500${2:-}" '.items | length'
}

at_work() { # SWEEP N
    [ "$(get "/api/v1/jobs/$1" .sweep.running)" = "$2" ]
}

post_job "$(job "$long"' | .resources.ranks = 1 | .sweep = {seeds: "1..1000",
    grid: [{field: "optimizer.lr", values: [range(1; 1001) | . / 1000]}]}')"
expect 202 "a million jobs"
sweep=$(body .id)
[ "$(body '[.sweep.total, .progress.total_steps] | tostring')" = '[1000000,1000000]' ] || fail "the sweep: $text"
within 20 at_work "$sweep" 2 || fail "its jobs do not start: $text"
# Two have the slots, one waits.
[ "$(count "$sweep")" -le 3 ] || fail "jobs that nobody can run yet were made: $text"
[ "$(get /api/v1/queue '[.waiting <= 1, .running] | tostring')" = '[true,2]' ] || fail "the queue: $text"
# A job that comes now is behind the one that waits, and before all others.
submit '.resources.ranks = 1'
mine=$id
some_runs() {
    one=$(get "/api/v1/jobs?sweep=$sweep&state=running" '.items[0].id // ""')
    [ -n "$one" ]
}
for n in 1 2; do
    within 20 some_runs || fail "no job of the sweep runs: $text"
    verb "$one" cancel
    wait_state "$one" cancelled
done
wait_state "$mine" succeeded 60
verb "$sweep" cancel
[ "$(body .cancel_requested)" = true ] || fail "cancel: $text"
wait_state "$sweep" cancelled
within 20 no_attempts || fail "ranks are left"
total=$(count "$sweep")
[ "$total" -le 6 ] && [ "$(count "$sweep" '&state=cancelled')" = "$total" ] || fail "jobs are left: $text"
[ "$(get "/api/v1/jobs/$sweep" '[.sweep.next, .sweep.cancelled, .sweep.running, .sweep.queued] | tostring')" = "[$total,$total,0,0]" ] ||
    fail "the cancelled sweep: $text"
api POST "/api/v1/jobs/$one:retry"
problem 409 conflict "a job of a sweep that is over"

# Lanes 1 with ranks 2 cannot be; a rate at which the loss is no number, fails at work.
post_job "$(job '.train.max_steps = 3 | .sweep = {grid: [{field: "train.lanes", values: [2, 1]},
    {field: "resources.ranks", values: [1, 2]}]}')"
expect 202 "a sweep with a bad combination"
bad=$(body .id)
post_job "$(job '.resources.ranks = 1 | .sweep = {grid: [{field: "optimizer.lr", values: [1e30, 0.1]}]}')"
expect 202 "a sweep with a bad value"
diverging=$(body .id)
for id in "$bad" "$diverging"; do
    wait_state "$id" failed 60
    [ "$(body .reason.code)" = jobs_failed ] || fail "reason: $text"
done
states='[.items[] | [.sweep.index, .state, .reason.code, .attempt]] | sort | tostring'
[ "$(get "/api/v1/jobs?sweep=$bad" "$states")" = \
    '[[0,"succeeded",null,1],[1,"succeeded",null,1],[2,"succeeded",null,1],[3,"failed","invalid",0]]' ] || fail "jobs: $text"
[ "$(get "/api/v1/jobs?sweep=$diverging" "$states")" = '[[0,"failed","diverged",1],[1,"succeeded",null,1]]' ] || fail "jobs: $text"

# Once more: what succeeded stays.
verb "$diverging" retry
wait_state "$diverging" failed 60
[ "$(get "/api/v1/jobs?sweep=$diverging" "$states")" = '[[0,"failed","diverged",2],[1,"succeeded",null,1]]' ] || fail "jobs: $text"
[ "$(get "/api/v1/jobs/$diverging" '[.attempt, .sweep.failed, .sweep.done] | tostring')" = '[2,1,1]' ] || fail "the sweep: $text"
[ "$(get "/api/v1/jobs/$diverging/events" '[.items[].state] | join(" ")')" = 'queued running failed queued running failed' ] ||
    fail "history: $text"
ctl watch "$diverging" >"$tmp/out" 2>&1
[ $? -eq 1 ] || fail "watch of a failed sweep: $(cat "$tmp/out")"
stop_daemon
