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
stop_daemon
