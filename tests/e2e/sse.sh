#!/bin/bash
# The event stream over connections that break: nothing is missing, nothing comes twice.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit '.train.epochs = 20'
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

# After the end EventSource is told not to come back; who comes for the first time gets the state, and the end.
api GET "/api/v1/events$query" "Last-Event-ID: $last"
[ "$code$text" = 204 ] || fail "after the end: $code $text"
api GET "/api/v1/events$query&after=$last"
[ "$code$text" = 204 ] || fail "after the end, by after: $code $text"
api GET "/api/v1/events$query"
[ "$code" = 200 ] && [[ $text == retry:\ * && $text == *"event: snapshot"*'"state":"succeeded"'*"event: end"*'"state":"succeeded"'* ]] ||
    fail "a stream of what is over: $code $text"
printf '%s' "$text" >"$tmp/over"
[ "$(frames "$tmp/over" | cut -d' ' -f1,2 | tr '\n' ' ')" = "0 snapshot $last end " ] || fail "frames of what is over: $text"
first=$(frames "$tmp/all" | awk '$2 == "metric" { print $1; exit }')
for query_of_first in "$query" "$query&after=$((last + 100))"; do
    api GET "/api/v1/events$query_of_first" "Last-Event-ID: $first"
    [[ $code == 200 && $text != *"event: snapshot"* && $text != *"event: reset"* && $text == *"event: end"* ]] || fail "from the middle on: $code"
done

# An id that is not known any more, or never was: it is told so, and begins anew. None is no place that was lost.
is_reset() { # REASON WHAT
    [ "$code" = 200 ] && [[ $text == *$'event: reset\ndata: {"reason":"'"$1"$'"}\n'*"event: snapshot"* ]] || fail "$2: $code $text"
}
for odd in x -1 "$((last + 100))" 99999999999999999999; do
    api GET "/api/v1/events$query" "Last-Event-ID: $odd"
    is_reset unknown_id "Last-Event-ID $odd"
done
api GET "/api/v1/events$query&after=$((last + 100))"
is_reset unknown_id "an after that never was"
api GET "/api/v1/events$query" "Last-Event-ID:"
[[ $code == 200 && $text != *"event: reset"* && $text == *"event: snapshot"* ]] || fail "no Last-Event-ID: $code"
api GET "/api/v1/events$query&after=x"
problem 400 bad_request "after=x"

# Kinds: those that are named, and the end of a job that is named.
api GET "/api/v1/events$query&after=0&kinds=metric"
printf '%s' "$text" >"$tmp/kinds"
[ "$(frames "$tmp/kinds" | cut -d' ' -f2 | sort -u | tr '\n' ' ')" = "end metric " ] || fail "kinds=metric: $text"
for odd in metrics state, ,state hb ''; do
    api GET "/api/v1/events?kinds=$odd"
    problem 400 bad_request "kinds=$odd"
    [[ $text == *"state, progress, metric, log, end, purged"* ]] || fail "kinds=$odd: $text"
done

# Over a restart ids go on rising, and the client starts from a snapshot.
kill_daemon
start_daemon
api GET "/api/v1/events$query" "Last-Event-ID: $last"
is_reset history_trimmed "after a restart"
printf '%s' "$text" >"$tmp/over"
again=$(frames "$tmp/over" | tail -1 | cut -d' ' -f1)
[ "$again" -gt "$last" ] || fail "ids of the new run do not rise"
api GET "/api/v1/events$query" "Last-Event-ID: $again"
[ "$code$text" = 204 ] || fail "after the end that came after a restart: $code $text"

# Filters: of two jobs, those that were asked for; at most 100.
submit "$long | .resources.ranks = 1"
one=$id
submit "$long | .resources.ranks = 1"
two=$id
listen_events "$tmp/one" "?job=$one"
listen_events "$tmp/both" "?job=$one&job=$two"
listen_events "$tmp/chosen" "?kinds=state,end,purged"
wait_state "$one" running
wait_state "$two" running
verb "$one" cancel
verb "$two" cancel
wait_state "$one" cancelled
wait_state "$two" cancelled
within 5 grep -qs '^event: end' "$tmp/one" || fail "the stream of one job does not end with it"
both_ended() { # FILE
    [ "$(grep -c '^event: end' "$1")" = 2 ]
}
within 5 both_ended "$tmp/both" || fail "the stream of two jobs lacks an end"
within 5 grep -qs '^event: end' "$tmp/chosen" || fail "no end in a stream of ends"
[ "$(frames "$tmp/chosen" | cut -d' ' -f2 | grep -v hb | sort -u | tr '\n' ' ')" = "end snapshot state " ] ||
    fail "a stream of some kinds: $(frames "$tmp/chosen" | cut -c1-100)"
! grep -q "$two" "$tmp/one" || fail "a stream has events of another job"
grep '^data: .*"points"' "$tmp/both" | grep -q "$one" && grep '^data: .*"points"' "$tmp/both" | grep -q "$two" || fail "the stream of two jobs lacks one"
# One that is over has its end behind the snapshot, the other one when it comes.
submit "$long | .resources.ranks = 1"
three=$id
wait_state "$three" running
listen_events "$tmp/mixed" "?job=$one&job=$three"
within 5 grep -qs '^event: end' "$tmp/mixed" || fail "no end of what is over beside what runs"
[ "$(events_named "$tmp/mixed" end | jq -r .id)" = "$one" ] || fail "the end of another job"
verb "$three" cancel
within 20 both_ended "$tmp/mixed" && [ "$(events_named "$tmp/mixed" end | tail -1 | jq -r '"\(.id) \(.state)"')" = "$three cancelled" ] ||
    fail "no end of the one that ran"
many=$(printf "&job=$one%.0s" {1..101})
api GET "/api/v1/events?${many#&}"
problem 400 bad_request "101 jobs"

# A stream ends with the daemon, which does not wait for its clients.
listen_events "$tmp/idle" ""
idle=$!
within 5 grep -qs '^event: snapshot' "$tmp/idle" || fail "no snapshot"
stop_daemon
wait $idle || fail "the stream was not closed properly"
[[ $(events_named "$tmp/idle" bye) =~ ^\{\"reason\":\"shutdown\",\"retry_ms\":[0-9]+\}$ ]] || fail "no bye: $(cat "$tmp/idle")"
