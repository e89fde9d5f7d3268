#!/bin/bash
# The way back to a copy of state.db: what users did since, and what became of jobs that have begun, is found in
# their folders; nothing that is found there keeps the daemon from starting.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec=".train.epochs = 400 | .checkpoint = {every_steps: 3, every_epochs: null} | .resources.ranks = 1"
copies() { # not while another one is being made
    ctl backup >"$tmp/said" 2>&1
}
copy() {
    within 10 copies || fail "no copy: $(cat "$tmp/said")"
}
lose() { # state.db, and the daemon with it; what runs goes on
    kill_daemon
    rm -f "$state"/state.db*
}
recover() {
    start_daemon --slots 9 --recover
}
is() { # ID FILTER WANT
    api GET "/api/v1/jobs/$1"
    [ "$(body "$2")" = "$3" ]
}
begun() { # [FILTER]: a job with steps of its own, in $id
    submit "$spec | ${1:-.}"
    wait_steps "$id" 2
}
stands() { # ID WANT WHAT
    within 20 is "$1" '[.state, .attempt, .failures] | tostring' "$2" || fail "$3: $(get "/api/v1/jobs/$1" .)"
}
rank_of() { # ID
    local p
    for p in $(grep -lzsx "DISTILLD_JOB=$1" /proc/[0-9]*/environ | tr -dc '0-9\n'); do
        [[ $(readlink "/proc/$p/exe") != */distill-worker ]] || echo "$p"
    done
}
classes() { # ID WANT
    [ "$(get "/api/v1/jobs/$1/attempts" '[.items[].class] | tostring')" = "$2" ] || fail "classes: $text"
}

start_daemon --slots 9
# In the copy: cancelled, over, out of time; and one to be held, one to get more ranks.
begun
retried=$id
verb "$id" cancel
wait_state "$id" cancelled
submit '.train.max_steps = 1 | .resources.ranks = 1'
over=$id
wait_state "$over" succeeded
cp -a "$state/jobs/$over" "$tmp/removed"
submit '.train.max_steps = 1 | .resources.ranks = 1'
stays=$id
wait_state "$stays" succeeded
submit "$spec | .time_limit_s = 1"
late=$id
wait_state "$late" failed
begun
held=$id
begun '.train.lanes = 2'
wider=$id
ctl datasets add old procedural:classes=4,train=32,test=16,seed=3 >"$tmp/said" || fail "datasets add"
copy

# Since then.
verb "$retried" retry
stands "$retried" '["running",2,{}]' "a retry"
verb "$late" retry
verb "$held" hold
within 20 is "$held" '.state + .reason.code' queuedheld || fail "a hold: $text"
payload='{"ranks":2}' api POST "/api/v1/jobs/$wider:resize" 'Content-Type: application/json'
expect 202 "a resize"
within 20 is "$wider" '[.state, .attempt, .ranks] | tostring' '["running",2,2]' || fail "a resize: $text"
api DELETE "/api/v1/jobs/$over"
expect 202 "a removal"
ctl datasets add new procedural:classes=4,train=32,test=16,seed=5 >"$tmp/said" || fail "datasets add"
begun '.data.source = "dataset:new"'
named=$id
begun '.data.source = "dataset:old" | .name = "before"'
renamed=$id
uses=$(get "/api/v1/jobs/$renamed" '.uses | tostring')
api GET "/api/v1/jobs/$renamed"
header etag
payload='{"name":"after","priority":4}' api PATCH "/api/v1/jobs/$renamed" 'Content-Type: application/json' "If-Match: $value"
expect 200 "a change"
begun
cancelled=$id
ctl cancel --grace 0 "$id" >/dev/null || fail "cancel"
wait_state "$id" cancelled
begun
killed=$id
kill -9 "$(rank_of "$id")"
stands "$killed" '["running",2,{"infra":1}]' "a kill"
first_start=$(get "/api/v1/jobs/$killed" .started_at)
begun '.retry.max_preemptions = 1'
held_too=$id
verb "$id" hold
within 20 is "$held_too" '.state + .reason.code' queuedheld || fail "a hold: $text"
wait_state "$late" failed
# One that is to be held when all is lost: it was not told yet.
begun '.retry.max_preemptions = 1'
holding=$id
stopped=$(rank_of "$id")
kill -STOP "$stopped"
verb "$id" hold

lose
mv "$tmp/removed" "$state/jobs/$over"
# None of these is an attempt, or a job.
mkdir -p "$state/jobs/$stays/attempts/2" "$state/jobs/job_00000000000000000000000000/attempts/1"
touch "$state/jobs/$stays/attempts/007" "$state/jobs/$stays/attempts/900000"
echo '{"id": "job_00000000000000000000000000", "attempt": 1, "spec": 3}' >"$state/jobs/job_00000000000000000000000000/attempts/1/job.json"
cp "$state/jobs/job_00000000000000000000000000/attempts/1/job.json" "$state/jobs/job_00000000000000000000000000/attempts/1/exit.json"
# A note that is older than the copy says nothing about what came after it.
note=$state/jobs/$stays/attempts/1/job.json
jq -c '.state = "queued"' "$note" >"$tmp/note" && cp "$tmp/note" "$note" && touch -d '2 hours ago' "$note"
recover
stands "$retried" '["running",2,{}]' "a job that was cancelled in the copy, and retried"
classes "$retried" '[null,null]'
is "$late" '[.state, .attempt, .reason.code] | tostring' '["failed",2,"time_limit"]' || fail "a job that was out of time in the copy, and since: $text"
classes "$late" '["preempted","preempted"]'
for one in "$held" "$held_too"; do
    is "$one" '[.state, .reason.code, .attempt, .failures, .hold_requested] | tostring' '["queued","held",1,{},true]' || fail "a job that was held since: $text"
done
kill -CONT "$stopped"
within 20 is "$holding" '[.state, .reason.code, .attempt, .failures] | tostring' '["queued","held",1,{}]' || fail "a job that was to be held: $text"
within 20 is "$wider" '[.state, .attempt, .ranks] | tostring' '["running",2,2]' || fail "a job that was resized since: $text"
stands "$named" '["running",1,{}]' "a job of data that the copy does not know"
is "$named" '.uses | map(.field + "=" + .name) | join(" ")' 'data.source=new' || fail "what it uses: $(get "/api/v1/jobs/$named" .)"
is "$renamed" '[.name, .priority, .spec.name, .uses] | tostring' "[\"after\",4,\"after\",$uses]" || fail "a job that was changed since: $text"
is "$cancelled" '[.state, .attempt, .reason.code, .finished_at != null] | tostring' '["cancelled",1,"cancelled",true]' || fail "a job that was cancelled since: $text"
stands "$killed" '["running",2,{"infra":1}]' "a job with a second attempt since"
classes "$killed" '["infra",null]'
is "$killed" .started_at "$first_start" || fail "when it started: $first_start; $text"
is "$stays" '[.state, .attempt, .result.steps_executed] | tostring' '["succeeded",1,1]' || fail "a job that was over: $text"
for gone in "$over" job_00000000000000000000000000; do
    api GET "/api/v1/jobs/$gone"
    [ "$code" = 404 ] || [ "$code" = 410 ] || [ "$(body .state)" = succeeded ] || fail "$gone: $code $text"
done

# Twice: what has been found is not lost again, and no id of an event comes twice.
fresh() { # the copy of after the recovery
    [ "$(sqlite3 "$state/backup/state.db" "SELECT count(*) FROM job WHERE id='$killed'" 2>/dev/null)" = 1 ]
}
within 20 fresh || fail "no copy was made after the recovery"
last=$(get "/api/v1/jobs/$killed/events" '[.items[].id] | max')
lose
recover
stands "$killed" '["running",2,{"infra":1}]' "the same job after another recovery"
submit '.hold = true'
[ "$(get "/api/v1/jobs/$id/events" '[.items[].id] | min')" -gt "$last" ] || fail "ids of events come again"

# What goes on ends like any other.
verb "$held" release
wait_state "$held" running
for id in "$retried" "$held" "$held_too" "$holding" "$wider" "$named" "$renamed" "$killed"; do
    verb "$id" cancel
done
for id in "$retried" "$held" "$held_too" "$holding" "$wider" "$named" "$renamed" "$killed"; do
    wait_state "$id" cancelled
    same_metrics "$id"
done
stop_daemon
