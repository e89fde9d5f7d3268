#!/bin/bash
# The daemon may die at any time: training goes on, and the next daemon finds everything.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

# "pid start-time" of all processes of attempts: the same line is the same process.
processes() {
    local p stat
    for p in $(attempt_pids); do
        read -r stat <"/proc/$p/stat"
        stat=${stat##*) }
        # shellcheck disable=SC2086
        set -- $stat
        echo "$p ${20}"
    done
}

start_daemon

# A second one is refused, and leaves the first alone.
"$builddir/distilld" --state "$state" --listen 127.0.0.1:0 >"$tmp/second" 2>&1
[ $? -eq 1 ] && grep -q "another distilld runs in" "$tmp/second" || fail "a second daemon: $(cat "$tmp/second")"
api GET /api/v1/version
expect 200 "after a second daemon was refused"
[ -s "$state/address" ] || fail "the second daemon took the address away"

# Killed, and stopped, during training.
submit '.train.epochs = 50'
listen_events "$tmp/first" "?job=$id" 2>/dev/null
first=$!
wait_steps "$id" 5
before=$(processes)
[ "$(wc -l <<<"$before")" -ge 4 ] || fail "processes of the attempt: $before"
kill_daemon
wait $first
last_id=$(frames "$tmp/first" | awk '$1 { id = $1 } END { print id }')
within 60 has_steps "$id" 15 || fail "training stops when the daemon is killed"
[ "$(processes)" = "$before" ] || fail "processes changed: $before; $(processes)"
start_daemon
state_is "$id" running || fail "job is $now after a restart"
# A client that comes back with the id it had: what it is told now and what the series held at that time
# are all points, and none is told twice.
listen_events "$tmp/again" "?job=$id" -H "Last-Event-ID: $last_id"
again=$!
within 60 grep -qs '^event: snapshot' "$tmp/again" || fail "no snapshot after a restart"
series "$id" >"$tmp/held"
within 60 has_steps "$id" 40 || fail "no progress after a restart"
stop_daemon
wait $again
told() {
    frames "$tmp/$1" | awk '$2 == "metric" { sub(/^[^ ]* [^ ]* /, ""); print }' | jq -r '.points[] | "\(.name) \(.split) \(.step) \(.value)"'
}
frames "$tmp/again" | awk -v last="$last_id" '$1 { if ($1 <= last) exit 1; last = $1 }' || fail "ids do not rise over a restart"
[ -z "$(told again | sort | uniq -d)" ] || fail "points were told twice"
told again | sort -u - "$tmp/held" >"$tmp/known"
points_of "$state/jobs/$id/out/metrics.jsonl" >"$tmp/file"
[ -z "$(comm -13 "$tmp/file" "$tmp/known")" ] || fail "points that nobody wrote"
awk '$1 == "loss/total" { print $3 }' "$tmp/known" | sort -n | awk '$1 != NR { exit 1 }' || fail "steps are missing in what a client knows"
[ ! -e "$state/address" ] || fail "a stopped daemon leaves its address"
within 10 has_steps "$id" 50 || fail "training stops with the daemon"
start_daemon
listen_events "$tmp/stream" "?job=$id"
[ "$(processes)" = "$before" ] || fail "processes changed: $before; $(processes)"
wait_state "$id" succeeded 60
wait $!
[ "$(events_named "$tmp/stream" end | wc -l)" = 1 ] || fail "no end in the stream"
[ "$(get "/api/v1/jobs/$id" '[.attempt, .progress.step] | tostring')" = '[1,200]' ] || fail "$(get "/api/v1/jobs/$id" .)"
same_metrics "$id"
[ "$(get "/api/v1/jobs/$id/events" '[.items[].state] | join(" ")')" = "queued starting running succeeded" ] ||
    fail "history: $(get "/api/v1/jobs/$id/events" .)"

# The job ends while nobody is there.
submit '.train.epochs = 8'
wait_state "$id" running
kill_daemon
within 20 no_attempts || fail "the attempt does not end"
start_daemon
wait_state "$id" succeeded 5
[ "$(get "/api/v1/jobs/$id" '[.attempt, (.result != null)] | tostring')" = '[1,true]' ] || fail "$(get "/api/v1/jobs/$id" .)"
same_metrics "$id"

# Everything dies at once, as in a power cut.
submit '.train.epochs = 12 | .checkpoint = {every_steps: 3, every_epochs: null}'
wait_steps "$id" 7
# shellcheck disable=SC2046
kill -9 $(attempt_pids) "$daemon"
kill_daemon
start_daemon
wait_state "$id" succeeded
api GET "/api/v1/jobs/$id/attempts"
[ "$(body '[.items[].lost] | tostring')" = '[true,false]' ] || fail "attempts: $text"
[ "$(resumed_from "$id" 2)" -ge 3 ] || fail "attempt 2 began at $(resumed_from "$id" 2)"
same_metrics "$id"
stop_daemon

# Killed before the shim has done anything: that costs the job nothing, and a shim that is late finds the attempt over.
cat >"$tmp/shim" <<END
#!/bin/bash
until [ -e "$tmp/go" ]; do sleep 0.1; done
exec "$builddir/distill-shim" "\$@"
END
chmod +x "$tmp/shim"
start_daemon --shim "$tmp/shim"
submit '.train.max_steps = 1 | .retry.max_attempts = 1'
wait_state "$id" starting
kill_daemon
start_daemon --shim "$tmp/shim"
began_again() {
    [ "$(get "/api/v1/jobs/$id" '[.state, .attempt] | tostring')" = '["starting",2]' ]
}
within 20 began_again || fail "a job of which nothing ran: $text"
late=$(DISTILLD_ATTEMPT=$id.1 "$builddir/distill-shim" --attempt "$state/jobs/$id/attempts/1" --out "$tmp/late" -- true 2>&1)
[[ $late == *"attempt $id.1 is over"* ]] || fail "a late shim: $late"
: >"$tmp/go"
wait_state "$id" succeeded
[ "$(get "/api/v1/jobs/$id" '[.attempt, .failures] | tostring')" = '[2,{}]' ] || fail "an attempt of which nothing ran counts: $text"
[[ $(get "/api/v1/jobs/$id/events" '[.items[].code] | join(" ")') == *not_begun* ]] || fail "history: $text"
stop_daemon
