#!/bin/bash
# The queue: first come, first served by slots, all ranks of a job at once, and a waiting job says why.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon # 2 slots
submit "$long"
first=$id
submit '.name = "small" | .resources.ranks = 1 | .train.max_steps = 2'
small=$id
submit '.name = "wide" | .train.max_steps = 2'
wide=$id
submit '.name = "last" | .resources.ranks = 1 | .train.max_steps = 2'
last=$id
wait_state "$first" running

ahead=0
for id in $small $wide $last; do
    api GET "/api/v1/jobs/$id"
    [ "$(body '.state + " " + .reason.code')" = "queued waiting_for_slots" ] || fail "a waiting job: $text"
    [[ $text == *"0 of 2 are free, $ahead job"* ]] || fail "reason: $(body .reason.message)"
    ahead=$((ahead + 1))
done
api GET "/api/v1/jobs/$wide"
[[ $(body .reason.message) == "needs 2 slots (2 ranks x 1 threads)"* ]] || fail "reason: $(body .reason.message)"

# The reason outlives a restart.
stop_daemon
start_daemon
why() {
    api GET "/api/v1/jobs/$wide"
    [[ $text == *waiting_for_slots* ]]
}
within 3 why || fail "no reason after a restart: $text"

# All end in the order of arrival; wide does not start before small has left it both slots, and last,
# which would fit beside small, does not overtake wide.
verb "$first" cancel
wait_state "$first" cancelled
for id in $small $wide $last; do
    wait_state "$id" succeeded
done
started() { # ID
    get "/api/v1/jobs/$1" .started_at
}
finished() {
    get "/api/v1/jobs/$1" .finished_at
}
[[ ! $(started "$small") < $(finished "$first") ]] || fail "a slot was given twice"
[[ ! $(started "$wide") < $(finished "$small") ]] || fail "wide started with one slot"
[[ ! $(started "$last") < $(started "$wide") ]] || fail "last overtook wide"
api GET "/api/v1/jobs/$wide"
[ "$(body .reason)" = null ] || fail "a job that is over still waits: $text"

# Two jobs of one rank run side by side.
submit "$long | .resources.ranks = 1"
first=$id
submit "$long | .resources.ranks = 1"
wait_state "$first" running
wait_state "$id" running
[ "$(pids_of shim | wc -l)" = 2 ] || fail "not two attempts at a time"
api GET /metrics
[[ $text == *'distilld_slots{use="held"} 2'* && $text == *'distilld_slots{use="free"} 0'* ]] || fail "slots: $text"
verb "$first" cancel
verb "$id" cancel
wait_state "$first" cancelled
wait_state "$id" cancelled
stop_daemon
