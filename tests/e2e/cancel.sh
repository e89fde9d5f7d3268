#!/bin/bash
# Cancel, wherever the job is: queued, starting, in training. It ends soon, nothing is left, and a retry
# goes on from the checkpoint.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

cancel() { # ID
    local t=$SECONDS
    verb "$1" cancel
    verb "$1" cancel # once more is fine
    wait_state "$1" cancelled
    [ $((SECONDS - t)) -le $((8 * PATIENCE)) ] || fail "it took $((SECONDS - t)) s"
    verb "$1" cancel # afterwards too
    api GET "/api/v1/jobs/$1"
    [ "$(body '[.state, .reason.code, .cancel_requested, (.finished_at != null)] | join(" ")')" = \
        "cancelled cancelled true true" ] || fail "a cancelled job: $text"
}

start_daemon
submit "$long | .name = \"long\""
running=$id
submit '.name = "waits"'
cancel "$id"
[ "$(get "/api/v1/jobs/$id" '[.attempt, .started_at] | tostring')" = '[0,null]' ] || fail "it was started"
[ ! -d "$state/jobs/$id/attempts" ] || fail "it has a folder of attempts"

# In training: at a step boundary, with a checkpoint that holds every step of the metrics.
wait_steps "$running" 5
cancel "$running"
no_attempts || fail "processes are left"
steps=$(grep -c '"name":"loss/total"' "$state/jobs/$running/out/metrics.jsonl")
newest=$(find "$state/jobs/$running/out/checkpoints" -name '*.safetensors' | sort | tail -1)
[[ $newest == */step-$(printf %09d "$steps").safetensors ]] || fail "step $steps, but the newest checkpoint is $newest"
[ "$(get "/api/v1/jobs/$running/attempts" '[.items[] | .status, .signal, .lost] | tostring')" = '[3,null,false]' ] ||
    fail "attempt: $(get "/api/v1/jobs/$running/attempts" .)"
same_metrics "$running"

# A retry goes on there.
more() {
    has_steps "$running" $((steps + 3))
}
verb "$running" retry
[[ $text == *'"cancel_requested":false'* ]] || fail "the retry is cancelled already: $text"
wait_state "$running" running
within 20 more || fail "no progress after the retry"
[ "$(resumed_from "$running" 2)" = "$steps" ] || fail "it resumed from $(resumed_from "$running" 2), not $steps"
cancel "$running"
[ "$(jq -r 'select(.name == "loss/total") | .step' "$state/jobs/$running/out/metrics.jsonl" |
    awk '$1 != NR { print; exit }')" = "" ] || fail "a step is missing or double"
same_metrics "$running"
states=$(get "/api/v1/jobs/$running/events" '[.items[].state] | join(" ")')
[ "$states" = "queued starting running running cancelled queued starting running running cancelled" ] ||
    fail "history: $states"

# While starting: at once after the shim is there, and before it is.
submit "$long | .name = \"starts\""
cancel "$id"
submit "$long | .name = \"starts\""
shim() {
    [ -n "$(pids_of shim)" ]
}
within 5 shim || fail "no shim"
cancel "$id"
no_attempts || fail "processes are left"

# How: a body says it. Ranks that stand still reach no step boundary, and only `now` ends them before their time.
say_cancel() { # STATUS BODY
    local payload=$2
    api POST "/api/v1/jobs/$id:cancel" 'Content-Type: application/json'
    expect "$1" "a cancel with the body $2"
}
kill_daemon
DISTILLD_FAULT=rank:1,step:5,kind:sleep start_daemon
submit "$long | .name = \"stuck\""
wait_steps "$id" 4
for body in '{"mode": "soon"}' '{"grace_s": -1}' '{"grace_s": 3601}' '{"mode": "now", "grace_s": 1}' '{"at_once": true}' '[]'; do
    say_cancel 422 "$body"
done
state_is "$id" running && [ "$(body .cancel_requested)" = false ] || fail "a refused cancel was carried out: $text"
say_cancel 202 '{"mode": "graceful", "grace_s": 3600}'
[ "$(body .reason.message)" = "cancelled by a user, within 3600 s" ] || fail "a cancel with time: $text"
kill_daemon
start_daemon
wait_state "$id" running
[ "$(body .cancel_requested)" = true ] || fail "a cancel was lost: $text"
ctl cancel --grace 2000 "$id" >/dev/null || fail "cancel --grace"
ctl cancel "$id" >/dev/null || fail "cancel once more"
state_is "$id" running || fail "ranks that had time left are $now"
! ctl cancel --now --grace 3 "$id" 2>/dev/null || fail "--now with --grace"
ctl cancel --now "$id" >/dev/null || fail "cancel --now"
wait_state "$id" cancelled
no_attempts || fail "processes are left"
[ "$(get "/api/v1/jobs/$id/events" '[.items[].message | select(startswith("cancelled by a user, "))] | sort | join("; ")')" = \
    'cancelled by a user, at once; cancelled by a user, within 2000 s; cancelled by a user, within 3600 s' ] ||
    fail "history: $text"

# An mpirun that stands still notices, too: it ends its ranks, instead of being killed when its time is over.
submit "$long | .name = \"stopped\""
wait_steps "$id" 3
kill -STOP "$(pids_of mpirun)"
ctl cancel --now "$id" >/dev/null || fail "cancel --now"
wait_state "$id" cancelled
[ "$(get "/api/v1/jobs/$id/attempts" '.items[0].signal')" = null ] || fail "mpirun was killed"
no_attempts || fail "processes are left"
stop_daemon
