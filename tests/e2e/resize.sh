#!/bin/bash
# A job goes on with other numbers of ranks, whenever a user asks for them, and ends in the bytes of an
# undisturbed run. A resize is remembered, takes no part of the retry budget, and keeps its slots.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec='.train.epochs = 30 | .train.eval_every_epochs = 5 | .checkpoint = {every_steps: 10, every_epochs: null} | .resources.ranks = 1'
spec=$(distill_job "$spec | .retry.max_attempts = 2")
calm_run "$spec" "$tmp/calm"

resize() { # ID RANKS
    local payload="{\"ranks\":$2}"
    api POST "/api/v1/jobs/$1:resize" 'Content-Type: application/json'
}

resized() { # ID RANKS
    resize "$1" "$2"
    expect 202 "resize to $2"
    [ "$(body .ranks)" = "$2" ] || fail "resized to $2: $text"
}

# Ranks of all attempts so far that came to their first step.
ranks_of() { # ID
    jq -s 'map(select(.event == "start").ranks)' -c "$state/jobs/$1/out/timing.jsonl" 2>/dev/null
}

# They are these, and the last attempt has done a step of its own.
at_work() { # ID RANKS-OF-ALL
    local IFS=, started went_on_from
    read_starts "$1"
    [ "[${started[*]}]" = "$2" ] && has_steps "$1" $((went_on_from + 1))
}

works() { # ID RANKS-OF-ALL
    within 30 at_work "$1" "$2" || fail "attempts have $(ranks_of "$1") ranks, not $2: $(get "/api/v1/jobs/$1" .)"
}

history() { # ID
    get "/api/v1/jobs/$1/events" '[.items[] | .state + (if .code == "" then "" else ":" + .code end)] | join(" ")'
}

is_calm() { # ID
    wait_state "$1" succeeded 40
    same_run "$state/jobs/$1/out" "$tmp/calm"
    same_metrics "$1"
}

# 1 -> 2 -> 4 -> 1 during one run. The daemon is killed right after it has accepted the second.
start_daemon --slots 4
post_job "$spec"
expect 202 "submitting"
id=$(body .id)
works "$id" '[1]'
resized "$id" 2
[ "$(body '.spec.resources.ranks')" = 1 ] || fail "the submitted spec changed: $text"
works "$id" '[1,2]'
# Its ranks stand still meanwhile: an attempt that was just to begin when the daemon died would count as a failure.
ranks=$(pids_of worker)
# shellcheck disable=SC2086
kill -STOP $ranks
resized "$id" 4
kill_daemon
# shellcheck disable=SC2086
kill -CONT $ranks
start_daemon --slots 4
[ "$(get "/api/v1/jobs/$id" .ranks)" = 4 ] || fail "a resize was forgotten"
works "$id" '[1,2,4]'
resized "$id" 4 # what is so already is fine
kill -9 "$(pid_of_rank 3)" # the first of two attempts that may fail
works "$id" '[1,2,4,4]'
ctl resize "$id" 1 >"$tmp/said" || fail "distillctl resize: $(cat "$tmp/said")"
[ "$(cat "$tmp/said")" = "$id running" ] || fail "distillctl resize says $(cat "$tmp/said")"
is_calm "$id"
[ "$(ranks_of "$id")" = '[1,2,4,4,1]' ] || fail "attempts had $(ranks_of "$id") ranks"
again='running:resizing queued:resizing starting running' mended='queued:infra starting running'
[ "$(history "$id")" = "queued starting running $again $again $mended $again succeeded" ] || fail "history: $(history "$id")"

# In the queue it takes effect at the start. A job that only stopped for more ranks goes before all others,
# also before an older one that would fit into what it has left. Ranks that are not connected are asked by
# a signal.
hold="$long | .train.lanes = 4 | .resources.ranks = 2"
submit "$hold"
first=$id
post_job "$(jq '.resources.ranks = 4 | .train.max_steps = 2' <<<"$spec")"
old=$(body .id)
verb "$old" cancel
submit "$hold"
second=$id
wait_state "$first" running
wait_state "$second" running
verb "$old" retry
resized "$old" 2
kill_daemon
start_daemon --slots 4
rm "$state/uplink.sock"
resized "$second" 4
within 20 state_is "$second" queued || fail "job is $now"
state_is "$old" queued || fail "the slots of a job that is resized were given to another"
verb "$first" cancel
works "$second" '[2,4]'
state_is "$old" queued || fail "an older job took the slots"
verb "$second" cancel
wait_state "$old" succeeded
[ "$(ranks_of "$old")" = '[2]' ] || fail "resized in the queue: $(ranks_of "$old") ranks"
[ "$(history "$old" | sed 's/ running//')" = "queued cancelled:cancelled queued queued:resizing starting succeeded" ] ||
    fail "history: $(history "$old")"

# Refused, with what was expected and what came.
refused() { # ID RANKS WORDS
    resize "$1" "$2"
    problem 422 invalid "ranks $2"
    [[ $(body '.errors[] | .pointer + " " + .detail') == $3 ]] || fail "ranks $2: $text"
}
submit "$long | .train.lanes = 8 | .train.batch = 32"
refused "$id" 3 '#/ranks *power of two*3 ranks do not fit 8 lanes'
refused "$id" 0 '#/ranks *0 ranks*'
refused "$id" 16 '#/ranks *16 ranks do not fit 8 lanes'
refused "$id" 8 '#/ranks *need 8 slots; this daemon has 4'
refused "$id" '"2"' '#/ranks expected an integer, got a string'
refused "$id" '2,"x":1' '# unknown member "x"*'
payload='{}' api POST "/api/v1/jobs/$id:resize" 'Content-Type: application/json'
problem 422 invalid "no ranks"
payload='{"ranks":2}' api POST "/api/v1/jobs/$id:resize"
problem 415 unsupported_media_type "no type"
verb "$id" cancel
resize "$old" 2
problem 409 conflict "a job that is over"
resize job_00000000000000000000000000 2
problem 404 not_found "no job"
post_job "$(distill_job '.kind = "class_means" | del(.student, .losses) | .resources.ranks = 3')"
expect 202 "class means"
means=$(body .id)
refused "$means" 2 '#/ranks expected a job of kind train or distill, got one of kind class_means'
wait_state "$means" succeeded
wait_state "$id" cancelled

# A job that leaves its ranks to the queue has as many as there are slots for, gives some of them up as soon as
# another job can start by that, and gets them back; also when the daemon is killed meanwhile.
kill_daemon # whose socket is gone
start_daemon --grow-after 0
trace=00-4bf92f3577b34da6a3ce929d0e0e4736
payload=$(jq -c '.resources.ranks = {min: 1, max: 2}' <<<"$spec") \
    api POST /api/v1/jobs 'Content-Type: application/json' "traceparent: $trace-00f067aa0ba902b7-01"
expect 202 "a range of ranks"
elastic=$(body .id)
works "$elastic" '[2]'
# The request and the attempt are spans of one trace.
said=$(get "/api/v1/jobs/$elastic" .traceparent)
span=$(tr '\0' '\n' <"/proc/$(pid_of_rank 1)/environ" | sed -n 's/^TRACEPARENT=//p')
[[ $said == $trace-*-01 && $span == $trace-*-01 && $span != "$said" ]] || fail "traces: $said, $span"
[ "$(get "/api/v1/jobs/$elastic" '[.ranks, .elastic.min, .elastic.max] | tostring')" = '[2,1,2]' ] || fail "ranks: $text"
refused "$elastic" 4 '#/ranks the job asks for 1 to 2 ranks; 4 are outside'
submit "$long | .resources.ranks = 1"
other=$id
gives_way() {
    [[ $(history "$elastic") == *running:shrinking* ]]
}
within 10 gives_way || fail "nobody gives way: $(get "/api/v1/jobs/$other" .reason)"
kill_daemon
start_daemon --grow-after 0
works "$elastic" '[2,1]'
wait_state "$other" running
verb "$other" cancel
works "$elastic" '[2,1,2]'
is_calm "$elastic"
[[ $(get "/api/v1/jobs/$elastic/events" '.items[].message') == *"goes on with 1 rank instead of 2, so that job $other can start"* ]] ||
    fail "why: $(get "/api/v1/jobs/$elastic/events" .)"
# An attempt that the kill met as it began may have been tried again.
said=$(history "$elastic" | grep -o 'running:[a-z]*' | tr '\n' ' ')
[ "$said" = "running:shrinking running:growing " ] || fail "history: $(history "$elastic")"
problems_are_whole

stop_daemon
