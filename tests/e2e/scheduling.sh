#!/bin/bash
# What users say about when their jobs run: hold and release; after which others; how much of it
# their project may use; whose slots they take.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

said() { # ID FILTER WANT WHAT
    local got
    got=$(get "/api/v1/jobs/$1" "$2")
    [ "$got" = "$3" ] || fail "$4: $got, not $3: $text"
}

post() { # ID VERB STATUS
    api POST "/api/v1/jobs/$1:$2"
    expect "$3" "$2"
}

waits_for() { # ID CODE
    [ "$(get "/api/v1/jobs/$1" '"\(.state) \(.reason.code)"')" = "queued $2" ]
}

# A running job that is held stops with a checkpoint and waits, whatever becomes of the daemon; a job behind it
# gets its slots. Released, it ends in the bytes of an undisturbed run, and nothing was held against it.
spec=$(distill_job '.train.epochs = 20 | .checkpoint = {every_steps: 10, every_epochs: null} | .resources.ranks = 2 |
    .retry.max_preemptions = 1')
calm_run "$spec" "$tmp/calm"
start_daemon
post_job "$spec"
expect 202 "submitting"
held=$(body .id)
submit '.name = "behind" | .train.max_steps = 2'
behind=$id
wait_steps "$held" 3
[[ $(ctl hold "$held") == "$held "* ]] || fail "distillctl hold"
kill_daemon
start_daemon
post "$held" hold 200
within 20 waits_for "$held" held || fail "a held job: $text"
wait_state "$behind" succeeded
said "$held" '[.state, .attempt, .hold_requested, .failures] | tostring' '["queued",1,true,{}]' "a held job"
[ -z "$(ls "$state/jobs/$held/out/checkpoints" | grep -v step)" ] || fail "no checkpoint"
[[ $(ctl release "$held") == "$held "* ]] || fail "distillctl release"
post "$held" release 200
wait_state "$held" succeeded 40
same_run "$state/jobs/$held/out" "$tmp/calm"
same_metrics "$held"
said "$held" '[.attempt, .failures] | tostring' '[2,{}]' "a job that was held"
post "$held" hold 409

# Submitted so; cancelled meanwhile.
submit '.hold = true'
within 5 waits_for "$id" held || fail "a job that was submitted to be held: $text"
post "$id" cancel 202
said "$id" .state cancelled "a held job that is cancelled"
# A sweep makes no jobs.
post_job "$(job '.train.max_steps = 1 | .hold = true | .sweep = {seeds: [1, 2]}')"
expect 202 "a sweep"
sweep=$(body .id)
post "$sweep" hold 200
submit '.train.max_steps = 1'
wait_state "$id" succeeded
said "$sweep" '[.state, .sweep.next] | tostring' '["queued",0]' "a sweep that is held"
post "$sweep" release 202
wait_state "$sweep" succeeded

# Jobs start when those are over that they depend on, also after a restart; what had to succeed and did not, takes
# with it whatever depends on it.
needs() { # ID [WHEN]
    echo "[{job: \"$1\", when: \"${2:-succeeded}\"}]"
}
submit '.hold = true | .train.max_steps = 1'
root=$id
submit '.hold = true'
lost=$id
submit ".train.max_steps = 1 | .depends_on = $(needs "$root") + $(needs "$lost" finished)"
after=$id
submit ".depends_on = $(needs "$lost")"
falls=$id
submit ".depends_on = $(needs "$falls")"
falls_too=$id
submit ".train.max_steps = 1 | .depends_on = $(needs "$falls_too" finished)"
last=$id
within 5 waits_for "$after" waiting_for_jobs || fail "a job that depends on others: $text"
said "$after" .reason.message "waits for $root to succeed, $lost to be over" "reason"
kill_daemon
start_daemon
within 5 waits_for "$after" waiting_for_jobs || fail "after a restart: $text"
post "$lost" cancel 202
wait_state "$falls" cancelled
said "$falls" '.reason | [.code, .message] | tostring' \
    "[\"dependency_failed\",\"job $lost, which had to succeed before this one, was cancelled\"]" "a broken need"
wait_state "$falls_too" cancelled
wait_state "$last" succeeded
said "$after" .reason.message "waits for $root to succeed" "one of two is over"
post "$root" release 202
wait_state "$after" succeeded
[[ ! $(get "/api/v1/jobs/$after" .started_at) < $(get "/api/v1/jobs/$root" .finished_at) ]] || fail "it did not wait"

refused() { # JOB POINTER-AND-DETAIL
    post_job "$(job "$1")"
    problem 422 invalid "$1"
    [[ $(body '.errors[] | .pointer + " " + .detail') == $2 ]] || fail "$1: $text"
}
refused '.depends_on = [{job: "job_00000000000000000000000000"}]' \
    '#/depends_on/0/job expected the id of a job; there is no job job_00000000000000000000000000'
refused ".depends_on = $(needs "$root") + $(needs "$root")" '#/depends_on/1/job job * stands there twice'
refused '.depends_on = [{when: "finished"}]' '#/depends_on/0/job *required*'
refused ".depends_on = [range(33) | {job: \"$root\"}]" '#/depends_on at most 32 jobs, got 33*'

# A project has no more slots and waiting jobs than its quota says; what it uses is remembered.
[[ $(ctl projects lab --slots 1 --queued 2 --weight 2) == *$'\nlab '*' 2 '* ]] || fail "distillctl projects"
submit "$long | .resources.ranks = 1 | .project = \"lab\""
one=$id
wait_state "$one" running
submit '.train.max_steps = 1 | .resources.ranks = 1 | .project = "lab"'
two=$id
submit '.train.max_steps = 1 | .resources.ranks = 1'
wait_state "$id" succeeded # there is a slot for others
within 5 waits_for "$two" waiting_for_quota || fail "a project beyond its quota: $(get "/api/v1/jobs/$two" .reason)"
said "$two" .reason.message 'needs 1 slots of project lab, whose jobs have 1 of the 1 that they may have at once' "reason"
refused '.project = "lab"' '#/resources/ranks the job needs 2 slots; project lab may have 1 at once'
payload='{"ranks":2}' api POST "/api/v1/jobs/$two:resize" 'Content-Type: application/json'
problem 422 invalid "a resize beyond the quota"
refused '.project = "-"' '#/project expected a name *'
submit '.train.max_steps = 1 | .resources.ranks = 1 | .project = "lab"'
three=$id
post_job "$(job '.resources.ranks = 1 | .project = "lab"')"
problem 429 quota_exceeded "a third waiting job"
kill_daemon
start_daemon
within 5 waits_for "$two" waiting_for_quota || fail "a quota is forgotten"
post "$one" cancel 202
wait_state "$two" succeeded
wait_state "$three" succeeded
kill_daemon
start_daemon
[ "$(get /api/v1/projects/lab '[.weight == 2, .quota.slots, .used_slot_s > 0.1, .used_slots] | tostring')" = '[true,1,true,0]' ] ||
    fail "what it used: $(get /api/v1/projects/lab .)"
[ "$(get '/api/v1/jobs?project=lab' '.items | length')" = 3 ] || fail "jobs of a project"

# A more important job takes the slots of one that allows it, if it may; that one ends in the same bytes, at no cost.
submit "$long | .priority = 1"
stays=$id
wait_state "$stays" running
submit '.train.max_steps = 1 | .priority = 2 | .preempt = true'
waits=$id
within 5 waits_for "$waits" waiting_for_slots || fail "a job that may not be preempted: $text"
state_is "$stays" running || fail "a job that does not allow it is $now"
post "$waits" cancel 202
post "$stays" cancel 202
wait_state "$stays" cancelled
post_job "$(jq '. + {preemptible: true, min_runtime_s: 0, priority: 1}' <<<"$spec")"
expect 202 "submitting"
victim=$id victim=$(body .id)
wait_steps "$victim" 3
submit '.train.max_steps = 1 | .priority = 1 | .preempt = true'
equal=$id
submit '.train.max_steps = 1 | .priority = 2 | .preempt = true'
taker=$id
wait_state "$taker" succeeded
wait_state "$victim" succeeded 40
same_run "$state/jobs/$victim/out" "$tmp/calm"
said "$victim" '[.attempt, .failures] | tostring' '[2,{}]' "a job that was preempted"
[[ $(get "/api/v1/jobs/$victim/events" '[.items[].code] | join(" ")') == *"preempted preempted"* ]] || fail "history: $(get "/api/v1/jobs/$victim/events" .)"
wait_state "$equal" succeeded
[[ ! $(get "/api/v1/jobs/$equal" .started_at) < $(get "/api/v1/jobs/$victim" .finished_at) ]] ||
    fail "a job of the same priority was preempted, or lost its place"

# Of a project whose quota has room, the job ahead is named as the reason; one that fits no quota or host any more says so.
ctl projects lab --slots 2 --queued 9 --weight 2 >"$tmp/projects" || fail "distillctl projects"
submit "$long | .resources.ranks = 1 | .project = \"lab\""
one=$id
wait_state "$one" running
submit '.project = "lab"'
wide=$id
submit '.resources.ranks = 1 | .project = "lab"'
narrow=$id
within 5 waits_for "$narrow" waiting_for_quota || fail "a job behind one of its project: $text"
said "$narrow" .reason.message 'needs 1 slots of project lab, whose jobs have 1 of the 2 that they may have at once; the rest is kept for jobs of the project that are ahead' "reason"
ctl projects lab --slots 1 --queued 9 --weight 2 >"$tmp/projects" || fail "distillctl projects"
within 5 waits_for "$wide" unsatisfiable_now || fail "a job beyond its quota: $text"
said "$wide" .reason.message 'needs 2 slots, more than the 1 that project lab may have at once; starts when that is raised, or with fewer ranks' "reason"
submit '.hold = true'
wide_too=$id
for id in "$narrow" "$one"; do
    verb "$id" cancel
done
wait_state "$one" cancelled
stop_daemon
start_daemon --slots 1
post "$wide_too" release 202
within 5 waits_for "$wide_too" unsatisfiable_now || fail "a job that fits nowhere: $text"
said "$wide_too" .reason.message 'needs 2 ranks x 1 threads, and there is room for 1 such ranks on all hosts together (1 slots); starts when there are more slots, or with fewer ranks' "reason"
stop_daemon
