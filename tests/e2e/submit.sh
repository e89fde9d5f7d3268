#!/bin/bash
# From submission to result: what a user is told on the way, and what is there at the end.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
listen_events "$tmp/all" ""
stream=$!
job '.train.epochs = 2' >"$tmp/job.json"

# The id and nothing else on standard output.
id=$(ctl submit "$tmp/job.json" 2>"$tmp/err") || fail "submit: $(cat "$tmp/err")"
[[ $id =~ ^job_[0-9A-HJKMNP-TV-Z]{26}$ ]] || fail "submit printed \"$id\""
[ ! -s "$tmp/err" ] || fail "submit complains: $(cat "$tmp/err")"

listen_events "$tmp/one" "?job=$id"
one=$!
wait_state "$id" succeeded
wait $one || fail "the stream of one job does not end with it"

api GET "/api/v1/jobs/$id"
[ "$(body '[.kind, .name, .attempt, .ranks, .reason, .progress.step, .progress.total_steps] | tostring')" = \
    '["train","e2e",1,2,null,8,8]' ] || fail "job: $text"
[ "$(body '.created_at <= .started_at and .started_at <= .finished_at')" = true ] || fail "times: $text"
[ "$(body .spec.optimizer.momentum)" != null ] || fail "the spec is not normalised"
diff <(body .result | jq -S .) <(jq -S . "$state/jobs/$id/out/result.json") || fail "result differs from result.json"

# History: every state once, in order.
api GET "/api/v1/jobs/$id/events"
states=$(body '[.items[].state] | join(" ")')
[ "$states" = "queued starting running succeeded" ] || fail "history: $states"
[ "$(body '[.items[].id] | . == (sort | unique)')" = true ] || fail "ids of the history do not rise"

# Metrics: the series are the file.
same_metrics "$id"
[ "$(wc -l <"$tmp/want")" -ge 40 ] || fail "only $(wc -l <"$tmp/want") points"
name=$(get "/api/v1/jobs/$id/metrics/series?name=top1&name=lr" '[.series[].name] | unique | join(" ")')
[ "$name" = "lr top1" ] || fail "series by name: $name"

# Artifacts.
names=$(get "/api/v1/jobs/$id/artifacts" '.items[].name')
for f in spec.json metrics.jsonl result.json student.safetensors; do
    grep -qx "$f" <<<"$names" || fail "no artifact $f among $names"
done
grep -q '^checkpoints/step-.*\.safetensors$' <<<"$names" || fail "no checkpoint among $names"

# The stream of all: every point once and in order, all states, ids that rise.
within 5 grep -qs '^event: end' "$tmp/all" || fail "no end event"
kill $stream
wait $stream 2>/dev/null
grep -qi '^content-type: text/event-stream' "$tmp/all.head" || fail "type of the stream"
[ "$(frames "$tmp/all" | head -1 | cut -d' ' -f2)" = snapshot ] || fail "the snapshot does not come first"
for file in all one; do
    frames "$tmp/$file" | awk '$1 { if ($1 <= last) exit 1; last = $1 }' || fail "$file: ids do not rise"
done
events_named "$tmp/all" metric | jq -r '.points[] | "\(.name) \(.split) \(.step) \(.value)"' >"$tmp/streamed"
jq -r '"\(.name) \(.split) \(.step) \(.value)"' "$state/jobs/$id/out/metrics.jsonl" >"$tmp/file"
cmp -s "$tmp/streamed" "$tmp/file" || fail "streamed points: $(diff "$tmp/streamed" "$tmp/file" | head -5)"
states=$(events_named "$tmp/all" state | jq -rs 'map(.state) | join(" ")')
[ "$states" = "queued starting running succeeded" ] || fail "streamed states: $states"
[ "$(events_named "$tmp/all" end | jq -r '.id + " " + .state')" = "$id succeeded" ] || fail "end event"
[ "$(frames "$tmp/one" | tail -1 | cut -d' ' -f2)" = end ] || fail "a job's stream ends with something else"

# 202 and Location lead to the job.
post_job "$(job '.name = "second" | .train.max_steps = 1')"
expect 202 "POST"
header location
[ "$value" = "/api/v1/jobs/$(body .id)" ] || fail "Location: $value"
[ "$(body .state)" = queued ] || fail "state after submission: $(body .state)"
id=$(body .id)
api GET "$value"
expect 200 "Location"
wait_state "$id" succeeded
api GET /api/v1/jobs
[ "$(body '[.items[].name] | join(" ")')" = "second e2e" ] || fail "list: $text"
stop_daemon
