#!/bin/bash
# The event stream over connections that break: nothing is missing, nothing comes twice.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit '.train.epochs = 50'
query="?job=$id"

# In pieces: each connection ends somewhere, even within a frame; the next goes on after the last whole one.
: >"$tmp/all"
last=
pieces=0
until grep -q '^event: end' "$tmp/all"; do
    [ $((pieces += 1)) -lt $((200 * $PATIENCE)) ] || fail "no end after $pieces connections"
    : >"$tmp/piece" # curl leaves it alone when nothing comes
    listen_events "$tmp/piece" "$query" --max-time 0.3 ${last:+-H "Last-Event-ID: $last"} 2>/dev/null
    wait $!
    # Whole frames end with an empty line.
    awk '{ held = held $0 "\n" } /^$/ { printf "%s", held; held = "" }' "$tmp/piece" >>"$tmp/all"
    last=$(sed -n 's/^id: //p' "$tmp/all" | tail -1)
done
[ $pieces -ge 3 ] || fail "only $pieces connections"
echo "$pieces connections"
[ "$(events_named "$tmp/all" snapshot | wc -l)" = 1 ] || fail "not one snapshot, the first"
[ "$(frames "$tmp/all" | head -1 | cut -d' ' -f2)" = snapshot ] || fail "the snapshot does not come first"
frames "$tmp/all" | awk '$1 { if ($1 <= last) exit 1; last = $1 }' || fail "ids do not rise"
events_named "$tmp/all" metric | jq -r '.points[] | "\(.name) \(.split) \(.step) \(.value)"' >"$tmp/streamed"
jq -r '"\(.name) \(.split) \(.step) \(.value)"' "$state/jobs/$id/out/metrics.jsonl" >"$tmp/file"
cmp -s "$tmp/streamed" "$tmp/file" || fail "streamed points: $(diff "$tmp/streamed" "$tmp/file" | head -5)"

# After the end EventSource is told not to come back; who comes for the first time gets the state.
api GET "/api/v1/events$query" "Last-Event-ID: $last"
[ "$code$text" = 204 ] || fail "after the end: $code $text"
api GET "/api/v1/events$query"
[ "$code" = 200 ] && [[ $text == *"event: snapshot"*'"state":"succeeded"'* ]] || fail "a stream of what is over: $code $text"
first=$(frames "$tmp/all" | awk '$2 == "metric" { print $1; exit }')
api GET "/api/v1/events$query" "Last-Event-ID: $first"
[[ $code == 200 && $text != *"event: snapshot"* && $text == *"event: end"* ]] || fail "from the middle on: $code"
# An id that is not known any more, or never was: from the snapshot.
for odd in x -1 "$((last + 100))" 99999999999999999999 ''; do
    api GET "/api/v1/events$query" "Last-Event-ID: $odd"
    [[ $code == 200 && $text == *"event: snapshot"* ]] || fail "Last-Event-ID $odd: $code"
done

# Over a restart ids go on rising, and the client starts from a snapshot.
kill_daemon
start_daemon
api GET "/api/v1/events$query" "Last-Event-ID: $last"
[[ $code == 200 && $text == *"event: snapshot"* ]] || fail "after a restart: $code $text"
[ "$(frames <(printf '%s' "$text") | head -1 | cut -d' ' -f1)" -gt "$last" ] || fail "ids of the new run do not rise"

# Filters: of two jobs, those that were asked for; at most 100.
submit "$long | .resources.ranks = 1"
one=$id
submit "$long | .resources.ranks = 1"
two=$id
listen_events "$tmp/one" "?job=$one"
listen_events "$tmp/both" "?job=$one&job=$two"
wait_state "$one" running
wait_state "$two" running
verb "$one" cancel
verb "$two" cancel
wait_state "$one" cancelled
wait_state "$two" cancelled
within 5 grep -qs '^event: end' "$tmp/one" || fail "the stream of one job does not end with it"
both_ended() {
    [ "$(grep -c '^event: end' "$tmp/both")" = 2 ]
}
within 5 both_ended || fail "the stream of two jobs lacks an end"
! grep -q "$two" "$tmp/one" || fail "a stream has events of another job"
grep '^data: .*"points"' "$tmp/both" | grep -q "$one" && grep '^data: .*"points"' "$tmp/both" | grep -q "$two" || fail "the stream of two jobs lacks one"
many=$(printf "&job=$one%.0s" {1..101})
api GET "/api/v1/events?${many#&}"
problem 400 bad_request "101 jobs"

# A stream ends with the daemon, which does not wait for its clients.
listen_events "$tmp/idle" ""
idle=$!
within 5 grep -qs '^event: snapshot' "$tmp/idle" || fail "no snapshot"
stop_daemon
wait $idle || fail "the stream was not closed properly"
