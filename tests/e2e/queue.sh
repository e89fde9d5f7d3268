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

# While the queue is paused nothing starts, what runs goes on, and waiting jobs say why; it outlives a
# restart. Then they start by priority, and in the order of their arrival within one.
submit "$long | .resources.ranks = 1"
first=$id
wait_state "$first" running
[[ $(ctl drain) == *"1 running, 0 waiting"* ]] || fail "drain"
priorities=(0 7 0 7 -3)
waiting=()
for p in "${priorities[@]}"; do
    submit ".resources = {ranks: 1, threads: 2} | .train.max_steps = 1 | .priority = $p" # both slots
    waiting+=("$id")
done
draining() {
    api GET "/api/v1/jobs/${waiting[4]}"
    [ "$(body '"\(.state) \(.reason.code) \(.priority) \(.planned_start)"')" = "queued draining -3 null" ]
}
within 5 draining || fail "a paused queue: $text"

# Who waits, in order: by priority, then by arrival; last what waits for more than slots. By pages, too.
submit '.name = "held" | .hold = true'
held=$id
in_line="${waiting[1]} ${waiting[3]} ${waiting[0]} ${waiting[2]} ${waiting[4]}"
all_explained() {
    api GET /api/v1/queue
    [ "$(body '.items | last.reason.code')" = held ]
}
within 5 all_explained || fail "one that is held: $text"
[ "$(body '[.items[].id] | join(" ")')" = "$in_line $held" ] || fail "the line: $text"
[ "$(body '[.items[] | [.place, .priority, .reason.code]] | tostring')" = \
    '[[1,7,"draining"],[2,7,"draining"],[3,0,"draining"],[4,0,"draining"],[5,-3,"draining"],[null,0,"held"]]' ] ||
    fail "the line: $text"
[ "$(body '.items[0] | "\(.project) \(.ranks) \(.threads) \(.planned_start)"')" = "default 1 2 null" ] || fail "one that waits: $text"
paged='' path='/api/v1/queue?page_size=2' pages=0
while [ -n "$path" ]; do
    api GET "$path"
    expect 200 "$path"
    [ "$(body .waiting)" = 6 ] || fail "$path: $text"
    paged+="$(body '.items[] | .id + " "' | tr -d '\n')" pages=$((pages + 1))
    header link
    path=
    [[ ! $value =~ ^\<([^\>]*)\>\;\ rel=\"next\"$ ]] || path=${BASH_REMATCH[1]}
done
[ "$paged" = "$in_line $held " ] && [ $pages = 3 ] || fail "$pages pages of the line: $paged"
api GET '/api/v1/queue?page_size=2&page_token=0'
problem 400 bad_request "a token of no page"
[ "$(ctl queue | awk 'NR > 1 {print $1, $2}' | xargs)" = \
    "1 ${waiting[1]} 2 ${waiting[3]} 3 ${waiting[0]} 4 ${waiting[2]} 5 ${waiting[4]} - $held" ] || fail "queue: $(ctl queue)"
verb "$held" cancel
ctl edit "${waiting[2]}" --priority 9 --name urgent --label why=demo >/dev/null || fail "edit"
stop_daemon
start_daemon
within 5 draining || fail "a restart resumes the queue: $text"
[ "$(get "/api/v1/jobs/${waiting[2]}" '"\(.priority) \(.name) \(.spec.labels.why)"')" = "9 urgent demo" ] ||
    fail "a change is lost: $text"
[ "$(get /api/v1/queue '"\(.paused) \(.used_slots) of \(.slots), \(.waiting) wait, \(.running) run"')" = \
    "true 1 of 2, 5 wait, 1 run" ] || fail "queue: $text"
http GET /readyz
[ "$code $text" = $'200 ready; the queue is paused\n' ] || fail "readyz: $code $text"
state_is "$first" running || fail "a running job is $now"
verb "$first" cancel
wait_state "$first" cancelled
state_is "${waiting[1]}" queued || fail "a job started in a paused queue"

# A host that is drained takes none either.
[[ $(ctl drain localhost) == "localhost is drained; 0 of its 2 slots are in use" ]] || fail "drain of a host"
ctl resume >/dev/null || fail "resume"
host_is_drained() {
    api GET "/api/v1/jobs/${waiting[2]}"
    [[ $text == *"host localhost is drained"* ]]
}
within 5 host_is_drained || fail "a drained host: $text"
ctl drain >/dev/null && ctl resume localhost >/dev/null || fail "drain"
listen_events "$tmp/told" ''
listener=$!
within 5 test -s "$tmp/told.head" || fail "no events"
ctl resume >/dev/null || fail "resume"
for id in "${waiting[@]}"; do
    wait_state "$id" succeeded
done
kill $listener
! grep -q '2 slots.* 2 of 2 are free' "$tmp/told" || fail "slots that were just given away are said to be free: $(grep -m 1 '2 of 2 are free' "$tmp/told")"
order=$(for i in 0 1 2 3 4; do echo "$(get "/api/v1/jobs/${waiting[i]}" .started_at) $i"; done | sort | cut -d' ' -f2 | tr -d '\n')
[ "$order" = 21304 ] || fail "started in the order $order"
! ctl edit "${waiting[2]}" --priority 1 2>"$tmp/said" || fail "the priority of a job that is over was changed"
grep -q 'no place in the queue' "$tmp/said" || fail "edit says: $(cat "$tmp/said")"
ctl edit "${waiting[2]}" --label why= >/dev/null || fail "a label of a job that is over"
[ "$(get "/api/v1/jobs/${waiting[2]}" '"\(.name) \(.spec.labels)"')" = "urgent {}" ] || fail "a label stays: $text"

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
