#!/bin/bash
# Checkpoints as users handle them: asked for, listed, pinned, removed; the result is that of a run nobody touched.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

newest() { # ID: its name, in $name
    name=$(get "/api/v1/jobs/$1/checkpoints" '.items[0].name // ""')
}

has_more_than() { # NAME [ID]
    newest "${2:-$id}"
    [[ $name > $1 ]]
}

# A checkpoint that is newer than $name; its name then is there.
wish() { # ID
    local before=$name
    verb "$1" checkpoint
    within 10 has_more_than "$before" "$1" || fail "no checkpoint after $before: $text"
}

change() { # METHOD ID NAME STATUS [BODY]
    local payload=${5:-}
    api "$1" "/api/v1/jobs/$2/checkpoints/$3" 'Content-Type: application/json'
    expect "$4" "$1 $3 $payload"
}

start_daemon
# One that is asked for leaves no trace in the result.
spec=$(distill_job '.train.epochs = 12 | .checkpoint = {every_epochs: 1000, keep: 1}')
calm_run "$spec" "$tmp/calm"
post_job "$spec"
expect 202 "submitting"
calm=$(body .id) name=
api POST "/api/v1/jobs/$calm:checkpoint"
problem 409 conflict "a checkpoint of a job that does not run"
[ "$(get "/api/v1/jobs/$calm/checkpoints" .items)" = '[]' ] || fail "checkpoints of a job that has none: $text"
wait_steps "$calm" 2
wish "$calm"
asked=$name
change PATCH "$calm" "$asked" 200 '{"pinned": true}'
wait_state "$calm" succeeded 60
[ "$(get "/api/v1/jobs/$calm/checkpoints" '[.items[].name] | tostring')" = "[\"step-000000048\",\"$asked\"]" ] ||
    fail "checkpoints of a job that is over ($asked): $text"
same_run "$state/jobs/$calm/out" "$tmp/calm"
same_metrics "$calm"
api POST "/api/v1/jobs/$calm:checkpoint"
problem 409 conflict "a checkpoint of a job that is over"
! get "/api/v1/jobs/$calm/artifacts" '.items[].name' | grep pinned || fail "marks are listed as artifacts"
ctl checkpoints "$calm" rm step-000000048 || fail "distillctl checkpoints rm"
[ "$(get "/api/v1/jobs/$calm/checkpoints" '[.items[] | .name, .newest] | tostring')" = "[\"$asked\",true]" ] ||
    fail "the newest is removed: $text"

# It is there while the job goes on.
submit '.train.epochs = 100000 | .checkpoint = {every_epochs: 99999, keep: 1}'
out=$state/jobs/$id/out name=
wait_steps "$id" 2
wish "$id"
first=$name
[ "$(get "/api/v1/jobs/$id/checkpoints/$first" '[.newest, .pinned, .size_bytes, .sha256 != null, .created_at != null] | tostring')" = \
    "[true,false,$(stat -c %s "$out/checkpoints/$first.safetensors"),true,true]" ] || fail "a checkpoint: $text"
state_is "$id" running || fail "a job that was asked for a checkpoint is $now"
change DELETE "$id" "$first" 409
[[ $text == *'the newest of job'* ]] || fail "the newest: $text"

# What is pinned outlives rotation, the ranks and the daemon; what is not does not.
[ "$(ctl checkpoints "$id" pin "$first" --json | jq .pinned)" = true ] || fail "distillctl checkpoints pin"
change PATCH "$id" "$first" 200 '{"pinned": true}'
wish "$id"
second=$name
kill_daemon
kill -9 $(pids_of worker) $(pids_of mpirun)
start_daemon
runs_again() {
    [ "$(get "/api/v1/jobs/$id" '"\(.state) \(.attempt)"')" = "running 2" ]
}
within 30 runs_again || fail "it does not run again: $text"
wish "$id"
kept_two() { # the rotation comes after the new one
    [ "$(get "/api/v1/jobs/$id/checkpoints" '[.items[] | .name, .pinned] | tostring')" = "[\"$name\",false,\"$first\",true]" ]
}
within 10 kept_two ||
    fail "with keep 1 and one that is pinned ($first, $second, $name): $text"
change DELETE "$id" "$first" 409
[[ $text == *'is pinned'* ]] || fail "a pinned one: $text"
[[ $(ctl checkpoints "$id") == *"$name "*" newest "*"$first "*" pinned "* ]] || fail "distillctl checkpoints: $(ctl checkpoints "$id")"
ctl checkpoints "$id" unpin "$first" || fail "distillctl checkpoints unpin"
mkfifo "$out/checkpoints/$first.pinned"
change PATCH "$id" "$first" 503 '{"pinned": true}'
rm "$out/checkpoints/$first.pinned"
change DELETE "$id" "$first" 204
change GET "$id" "$first" 404
[ ! -e "$out/checkpoints/$first.json" ] || fail "a removed checkpoint is there"

# Pinned by one user, removed by another and by the rotation, at once: what was acknowledged as pinned is whole.
at_once() { # METHOD NAME [BODY]: the status in the file METHOD
    local payload=${3:-}
    api "$1" "/api/v1/jobs/$id/checkpoints/$2" 'Content-Type: application/json'
    echo "$code" >"$tmp/$1"
}
is_whole() { # NAME
    [ "$(jq -r .sha256 "$out/checkpoints/$1.json")" = "$(sha256sum <"$out/checkpoints/$1.safetensors" | cut -d' ' -f1)" ]
}
for round in {1..6}; do
    old=$name
    verb "$id" checkpoint
    at_once DELETE "$old" &
    deleting=$!
    at_once PATCH "$old" '{"pinned": true}' &
    wait $deleting $!
    within 10 has_more_than "$old" || fail "no checkpoint after $old: $text"
    [[ $(cat "$tmp/PATCH") == [24]0[04] && $(cat "$tmp/DELETE") == [24]0[49] ]] || fail "at once: $(cat "$tmp/PATCH" "$tmp/DELETE")"
    if [ "$(cat "$tmp/PATCH")" = 200 ]; then
        is_whole "$old" || fail "$old was acknowledged as pinned"
        change PATCH "$id" "$old" 200 '{"pinned": false}'
    fi
done

# Names lead nowhere else, and bodies say what they mean.
for odd in '..%2Fspec' '..%2F..%2F..%2Ftoken' "$first.safetensors" step-1 'step-000000001%2F..' '%2e%2e'; do
    for method in GET DELETE; do
        change $method "$id" "$odd" 404
    done
    change PATCH "$id" "$odd" 404 '{"pinned": true}'
done
change PATCH "$id" "$name" 422 '{"pinned": 1, "x": 2}'
[ -s "$out/spec.json" ] && [ -s "$state/token" ] || fail "something else was removed"
verb "$id" cancel
wait_state "$id" cancelled
api GET /api/v1/audit
[ "$(body "[.items[] | select(.method == \"DELETE\" and .status == 204 and (.path | endswith(\"$first\") or endswith(\"step-000000048\")))] | length")" = 2 ] || fail "audit: $text"
stop_daemon
