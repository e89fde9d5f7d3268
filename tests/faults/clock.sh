#!/bin/bash
# The host's clock jumps a day ahead, and then two back, under a daemon with a running job and while none is there: nothing
# is over time that ran for seconds, or charged for more; identifiers and events keep their order, tokens and retried
# requests stay valid; a pause is as long as it was said to be.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "SKIP: libfaketime is not installed (Debian package libfaketime)"; exit 77; }
! ldd "$builddir/distilld" | grep -q 'lib[at]san' || { echo "SKIP: libfaketime and sanitizers exclude each other"; exit 77; }
echo +0 >"$tmp/time"
under=(env "LD_PRELOAD=$faketime" "FAKETIME_TIMESTAMP_FILE=$tmp/time" FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1)

set_clock() { # +SECONDS or -SECONDS, from the real time
    echo "$1" >"$tmp/time.new" && mv "$tmp/time.new" "$tmp/time"
}

jump() { # +SECONDS or -SECONDS, from the real time
    local off
    set_clock "$1"
    api GET /healthz
    header date
    off=$(($(date -d "$value" +%s) - $(date +%s) - $1))
    [ "${off#-}" -le 100 ] || fail "the clock did not jump by $1 s: $value"
}

steps_go_on() { # ID
    local lines n
    lines_with "$1" metrics.jsonl '"name":"loss/total"'
    n=${#lines[@]}
    within 20 has_steps "$1" $((n + 2)) || fail "no more steps $2"
}

# What libfaketime leaves of a process that was killed.
faked=()
forget() {
    local pid
    for pid in "${faked[@]}"; do
        rm -f "/dev/shm/faketime_shm_$pid" "/dev/shm/sem.faketime_sem_$pid"
    done
}
at_end=forget
start_faked() {
    start_daemon
    faked+=("$daemon")
}

start_faked
spec=$(job "$long | .time_limit_s = 3600")
payload=$spec
api POST /api/v1/jobs 'Content-Type: application/json' 'Idempotency-Key: "first"'
expect 202 "submitting"
first=$(body .id)
wait_steps "$first" 2
listen_events "$tmp/events" ''
listener=$!
ids=("$first")
for seconds in +86400 -86400; do
    jump "$seconds"
    steps_go_on "$first" "after a jump"
    submit '.resources.ranks = 1 | .hold = true'
    ids+=("$id")
    payload=$spec
    api POST /api/v1/jobs 'Content-Type: application/json' 'Idempotency-Key: "first"'
    expect 202 "the same request again"
    [ "$(body .id)" = "$first" ] || fail "the same request made another job: $text"
done
[ "$(printf '%s\n' "${ids[@]}")" = "$(printf '%s\n' "${ids[@]}" | sort -u)" ] || fail "identifiers are not in order: ${ids[*]}"
[ "$(get /api/v1/jobs '[.items[].id] | reverse | join(" ")')" = "${ids[*]}" ] || fail "the list is not in order: $text"
state_is "$first" running || fail "the first job is $now"

# A daemon that was killed comes back into a day that has been, and into one that is to come.
for seconds in -86400 +86400; do
    kill_daemon
    set_clock "$seconds"
    start_faked
    jump "$seconds"
    steps_go_on "$first" "after a restart at $seconds s"
    state_is "$first" running || fail "the first job is $now after a restart at $seconds s: $text"
    submit '.resources.ranks = 1 | .hold = true'
    [[ $id > ${ids[-1]} ]] || fail "$id is not after ${ids[-1]}"
    ids+=("$id")
done
jump +0
payload=
for i in "${ids[@]}"; do
    verb "$i" cancel
done
wait_state "$first" cancelled
[ "$(get "/api/v1/jobs/$first" .attempt)" = 1 ] || fail "the job was started again: $text"
used=$(get /api/v1/projects/default '.used_slot_s < 7200')
[ "$used" = true ] || fail "what its project has used: $text"

# A pause between two attempts is no longer for a clock that was set back, also while no daemon was there.
goes_on() { # ID ATTEMPT
    [ "$(get "/api/v1/jobs/$1" '[.state, .attempt] | tostring')" = "[\"running\",$2]" ]
}
submit "$long | .retry = {max_attempts: 5, backoff_s: 2, backoff_max_s: 4}"
for attempt in 1 2; do
    within 20 goes_on "$id" $attempt || fail "attempt $attempt: $text"
    wait_steps "$id" 2
    # shellcheck disable=SC2046
    kill -9 $(pids_of mpirun)
    wait_state "$id" queued
    [ $attempt -eq 1 ] || kill_daemon
    set_clock $((-86400 * attempt))
    [ $attempt -eq 1 ] || start_faked
done
within 20 goes_on "$id" 3 || fail "the pause after attempt 2: $text"
verb "$id" cancel
wait_state "$id" cancelled
kill $listener 2>/dev/null
frames "$tmp/events" | awk '$1 != 0 { if ($1 <= last) exit 1; last = $1 }' || fail "events are not in order"
frames "$tmp/events" | grep -q " state " || fail "no events"
stop_daemon
