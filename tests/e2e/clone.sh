#!/bin/bash
# What was asked of a job, once more: its spec, a clone of it, its record; and what would become of one that is not
# submitted.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

said() { # PATH FILTER WANT
    local got
    got=$(get "$1" "$2")
    [ "$got" = "$3" ] || fail "$1 $2: $got, not $3: ${text:0:600}"
}

clone() { # ID [JSON] [HEADER]...
    local payload=${2:-}
    api POST "/api/v1/jobs/$1:clone" 'Content-Type: application/json' "${@:3}"
}

simulate() { # FILTER WANT
    local payload
    payload=$(job "$1")
    api POST /api/v1/queue:simulate 'Content-Type: application/json'
    expect 200 "simulate $1"
    [ "$(body '[.admitted, .forecast.starts_now, .forecast.placement, .forecast.stops, (.forecast.reason.code // .refusal.code)] | tostring')" = "$2" ] ||
        fail "simulate $1: $text"
}

start_daemon --max-body 4096
sent=$(job '.train.max_steps = 3 | .labels = {a: "b"} | .priority = 3 | .losses = [{kind: "ce"}]')
post_job "$sent"
expect 202 "submitting"
id=$(body .id)
[ "$(body .cloned_from)" = null ] || fail "a job that was cloned from nothing: $text"
wait_state "$id" succeeded
one=/api/v1/jobs/$id

# The spec as it was sent, whatever became of it since.
payload='{"name": "renamed"}' api PATCH "$one" 'Content-Type: application/json' 'If-Match: *'
expect 200 "PATCH"
api GET "$one/spec"
diff <(jq -S . <<<"$text") <(jq -S . <<<"$sent") || fail "the spec as it was sent"
said "$one/spec/normalized" '[.name, .optimizer.momentum != null] | tostring' '["renamed",true]'
api GET "$one/spec/normalized"
header etag
api GET "$one/spec/normalized" "If-None-Match: $value"
expect 304 "a spec that is known"

# To the letter, but for the white space between values.
pause_hold='"hold":true,"optimizer":{"lr":1.50e-1},"labels":{"two.words":"\u0061 \"b"}}'
plain=$(job | jq -c .)
odd="${plain%\}},$pause_hold"
post_job "${odd//,\"/ ,
 \"}"
expect 202 "a job with white space"
api GET "/api/v1/jobs/$(body .id)/spec"
[ "$text" = "$odd" ] || fail "what was sent: $odd; what is kept: $text"
payload="{\"atomic\": false, \"jobs\": [ ${odd//,\"/ , \"} ] }" api POST /api/v1/jobs:batch 'Content-Type: application/json'
expect 202 "a batch with white space"
api GET "/api/v1/jobs/$(body '.items[0].id')/spec"
[ "$text" = "$odd" ] || fail "what was sent in a batch: $odd; what is kept: $text"

# A clone: the same but for what is set; by its key it is one.
clone "$id" '{"set": {"train": {"seed": 2}, "labels": null, "name": "again", "hold": true}}' 'Idempotency-Key: "c"'
expect 202 "a clone"
again=$(body .id)
[ "$(body '[.name, .cloned_from, .spec.train.seed, .spec.train.max_steps, .spec.labels, .priority] | tostring')" = "[\"again\",\"$id\",2,3,null,3]" ] ||
    fail "a clone: $text"
header location
[ "$value" = "/api/v1/jobs/$again" ] || fail "Location: $value"
clone "$id" '{"set": {"train": {"seed": 2}, "labels": null, "name": "again", "hold": true}}' 'Idempotency-Key: "c"'
[ "$(body .id)" = "$again" ] || fail "the same clone twice: $text"
clone "$again" '{"set": {"train": {"seed": 2}, "labels": null, "name": "again", "hold": true}}' 'Idempotency-Key: "c"'
problem 422 idempotency_key_reused "the key of a clone of another job"
clone "$id" '{"set": {"train": {"epochs": -1, "x": 1}}}'
problem 422 invalid "a clone that is no job"
[[ $text == *'#/train/epochs'* ]] || fail "where a clone is wrong: $text"
# However often it grows: as large as what is submitted, and no larger.
long_labels() { # KEY
    jq -nc --arg key "$1" --argjson bytes $((2100 - $(jq -c . <<<"$sent" | wc -c) / 2)) \
        '[range($bytes / 220 | ceil) | {key: "\($key)\(.)", value: ("x" * 212)}] | from_entries'
}
clone "$id" "{\"set\": {\"labels\": $(long_labels b), \"hold\": true}}"
expect 202 "a clone with a label"
clone "$(body .id)" "{\"set\": {\"labels\": $(long_labels c)}}"
problem 413 too_large "a clone of a clone that is too large"
clone "$id" '{"sets": {}}'
problem 422 invalid "an unknown member"
clone "$again"
expect 202 "a clone without a body"
third=$(body .id)
[ "$(body '[.cloned_from, .spec.train.seed] | tostring')" = "[\"$again\",2]" ] || fail "a clone of a clone: $text"
fourth=$(ctl clone "$id" --set losses.0.weight=2 --set train.seed=5 --set hold=true) || fail "distillctl clone"
said "/api/v1/jobs/$fourth/spec" '[.losses, .train.seed, .train.max_steps, .labels] | tostring' '[[{"kind":"ce","weight":2}],5,3,{"a":"b"}]'
stop_daemon
if damaged=$(command -v sqlite3); then
    sqlite3 "$state/state.db" "UPDATE job SET written='{{' WHERE id='$third'" || fail "sqlite3"
fi
start_daemon
said "/api/v1/jobs/$third" .cloned_from "$again"
# What was kept of a submission is damaged: the normalised spec stands for it.
if [ -n "$damaged" ]; then
    said "/api/v1/jobs/$third/spec" '[.name, .train.seed, .optimizer.momentum != null] | tostring' '["again",2,true]'
    said "/api/v1/jobs/$third/record" .submitted.name again
fi
[ "$(ctl spec "$id" | jq -S .)" = "$(jq -S . <<<"$sent")" ] || fail "distillctl spec after a restart"

# The record vouches for the files.
[ "$(ctl record "$id" | jq -r '.files[] | select(.name == "student.safetensors").sha256')" = \
    "$(sha256sum <"$state/jobs/$id/out/student.safetensors" | cut -d' ' -f1)" ] || fail "distillctl record: $(ctl record "$id")"
said "$one/record" '[.record, .job.id, .submitted.name, .spec.name, (.hashes | has("data_sha256")), .result.state, .versions.api] | tostring' \
    "[1,\"$id\",\"e2e\",\"renamed\",true,\"succeeded\",\"v1\"]"

# Parts of lists.
said "$one/attempts/1" '[.attempt, .status] | tostring' '[1,0]'
said "$one/attempts/1" .shim.pid "$(jq .pid "$state/jobs/$id/attempts/1/attempt.json")"
for n in 0 2 x 99999999999999999999; do
    api GET "$one/attempts/$n"
    problem 404 not_found "attempt $n"
done
said "$one/metrics" '.items[] | select(.name == "loss/total") | [.split, .first_step, .last_step, .points] | tostring' '["train",1,3,3]'
said /api/v1/nodes/localhost '[.name, .slots] | tostring' '["localhost",2]'
api GET /api/v1/nodes/nobody
problem 404 not_found "a host that there is not"
diff <(ctl metrics "$id" --csv | tr -d '\r' | tail -n +2 | sed 's/\.0$//' | sort) <(series "$id" | tr ' ' ,) || fail "points as CSV"

# What would be: nothing of it is kept.
n=$(get /api/v1/jobs '.items | length')
simulate . '[true,true,"localhost:2",0,null]'
simulate '.train.epochs = -1' '[false,null,null,null,"invalid"]'
[ "$(body '.refusal.errors[0].pointer')" = '#/train/epochs' ] || fail "what would be wrong: $text"
simulate '.resources.ranks = 1 | .project = "nobody"' '[true,true,"localhost:1",0,null]'
said /api/v1/projects '[.items[].name] | index("nobody")' null
simulate '.hold = true' '[true,false,null,0,"held"]'
submit "$long | .preemptible = true | .min_runtime_s = 0 | .time_limit_s = 600"
wait_state "$id" running
simulate . '[true,false,null,0,"waiting_for_slots"]'
[ "$(body '.forecast | [.ahead, .planned_start > "2020"] | tostring')" = '[0,true]' ] || fail "when it would start: $text"
simulate '.priority = 9 | .preempt = true' '[true,false,null,1,"preempting"]'
job >"$tmp/job.json"
[[ $(ctl submit --simulate "$tmp/job.json") == 'waits, 0 ahead: needs 2 slots'*'; planned to start at 20'* ]] || fail "submit --simulate: $(ctl submit --simulate "$tmp/job.json")"
pause 1.2
state_is "$id" running || fail "a simulation has stopped a job"
[ "$(get /api/v1/jobs '.items | length')" = $((n + 1)) ] || fail "a simulation is a job"

# A user lets others go first: the job that waits, however unimportant; then it goes on, and it has cost nothing.
post() { # VERB STATUS
    api POST "/api/v1/jobs/$id:$1"
    expect "$2" "$1"
}
wait_steps "$id" 3
submit '.train.max_steps = 1 | .priority = -9' && low=$id
id=$(get '/api/v1/jobs?state=running' '.items[0].id')
[[ $(ctl preempt "$id") == "$id "* ]] || fail "distillctl preempt"
post preempt 200
wait_state "$low" succeeded
wait_state "$id" running
said "/api/v1/jobs/$id" '[.attempt, .failures] | tostring' '[2,{}]'
[[ $(get "/api/v1/jobs/$id/events" '[.items[].code] | join(" ")') == *"preempted preempted"* ]] || fail "history: $text"
[[ ! $(get "/api/v1/jobs/$id/attempts/2" .started_at) < $(get "/api/v1/jobs/$low" .started_at) ]] || fail "it went first"
post cancel 202
wait_state "$id" cancelled
post preempt 409

# The description as JSON, and of a job alone.
for path in /api/v1/openapi.json /openapi.json; do
    said "$path" '[.openapi, (.paths | has("/api/v1/jobs/{id}:clone"))] | tostring' '["3.1.0",true]'
done
said /api/v1/schema/job.json '[.required[0], .properties.train["$ref"], (."$defs" | has("LossSpec")), ([.. | strings | select(startswith("#/components"))] | length)] | tostring' \
    '["kind","#/$defs/TrainSpec",true,0]'
problems_are_whole
stop_daemon
