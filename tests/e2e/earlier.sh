#!/bin/bash
# Attempts that another release has started, and that run while the daemon is replaced by this one. Those of earlier
# releases are adopted: their metrics go on, they can be stopped, and their end is recorded. Those of a later one, after
# a step back, go on as well, and what is not known of them is said.
# tests/e2e/upgrade/ has for each release its state, with a job "going" (upgrade.sh), and in running/ what it left of such
# an attempt: attempt.json and exit.json of its shim, metrics.jsonl of its worker, and what that said to the daemon.
# shellcheck disable=SC2154
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v sqlite3 >/dev/null || { echo "SKIP: sqlite3 is not installed (Debian package sqlite3)"; exit 77; }
token_of_frames=dwa_recorded

# A state folder of the release, with its job "going", whose id is in $id, and somebody who plays its attempt.
leave_running() { # RELEASE NAME [FORMAT]
    local data=$1/running file attempt start
    state=$tmp/$2
    mkdir "$state"
    for file in state metrics; do
        sqlite3 "$state/$file.db" <"$1/$file.sql" || fail "the dump of $1"
    done
    id=$(sqlite3 "$state/state.db" "SELECT id FROM job WHERE name = 'going'")
    sqlite3 "$state/state.db" "DELETE FROM job WHERE name = 'waiting'; UPDATE attempt SET token_sha256 =
        '$(printf %s "$token_of_frames" | sha256sum | cut -d' ' -f1)' WHERE job = '$id'"
    out=$state/jobs/$id/out attempt=$state/jobs/$id/attempts/1
    mkdir -p "$out/logs" "$attempt"
    cp "$data/metrics.jsonl" "$out"
    echo "--- attempt $id.1" >"$out/logs/rank-0.log"
    jq "if \"${3:-}\" == \"\" then . else .format = ${3:-0} end" "$data/exit.json" >"$tmp/$2.exit"
    DISTILLD_ATTEMPT=$id.1 DISTILLD_UPLINK=$state/uplink.sock "$builddir/tests/e2e/earlier" \
        "$attempt" "$state/uplink.sock" "$data/frames" "$tmp/$2.exit" ${3:+"$3"} &
    player=$!
    start=$(sed 's/.*) //' "/proc/$player/stat" | cut -d' ' -f20)
    jq ".pid = $player | .start_time = $start | .boot_id = \"$(cat /proc/sys/kernel/random/boot_id)\" |
        if \"${3:-}\" == \"\" then . else .format = ${3:-0} | del(.pid) end" "$data/attempt.json" >"$attempt/attempt.json"
    within 10 is_locked "$attempt/lock" || fail "the player of $2 does not begin"
}

is_locked() {
    [ -e "$1" ] && ! flock -n "$1" true
}

player_gone() {
    ! kill -0 "$player" 2>/dev/null
}

has_all_points() {
    series "$id" >"$tmp/have"
    cmp -s "$tmp/have" <(points_of "$out/metrics.jsonl")
}

attempts() { # FILTER
    get "/api/v1/jobs/$id/attempts" "[.items[] | $1] | tostring"
}

for release in "$srcdir"/tests/e2e/upgrade/*/; do
    name=$(basename "$release")
    # Its worker is heard, and stops when it is asked to.
    leave_running "$release" "$name-asked"
    start_daemon
    within 20 has_all_points || fail "$name: metrics do not go on: $(diff "$tmp/have" <(points_of "$out/metrics.jsonl") | head -5)"
    state_is "$id" running || fail "$name: an adopted job is $now"
    [ "$(attempts '[.attempt, .lost]')" = '[[1,false]]' ] || fail "$name: attempts: $text"
    [ "$(get "/api/v1/jobs/$id" .progress.step)" -gt 0 ] || fail "$name: no progress: $text"
    verb "$id" cancel
    wait_state "$id" cancelled
    within 5 player_gone || fail "$name: the shim goes on"
    [ "$(attempts '[.attempt, .lost, .status]')" = "[[1,false,$(jq .status "$release/running/exit.json")]]" ] ||
        fail "$name: the end: $text"
    stop_daemon

    # It ends while there is no daemon.
    leave_running "$release" "$name-alone"
    start_daemon
    within 20 has_all_points || fail "$name: metrics do not go on"
    kill_daemon
    player_gone && fail "$name: the shim has not outlived the daemon"
    kill -TERM "$player"
    within 10 player_gone || fail "$name: the player does not end"
    start_daemon
    ended() { [ "$(attempts '[.lost, .status]')" = "[[false,$(jq .status "$release/running/exit.json")]]" ]; }
    within 20 ended || fail "$name: an end that no daemon saw: $text"
    stop_daemon
done

# A later release, of which only the lock and the processes are known: it is neither ended nor forgotten.
leave_running "$release" later 9
start_daemon
heard() { grep -q "newer release.*format 9.*metrics come when" "$out/logs/rank-0.log"; }
within 20 heard || fail "the job's log does not say that its worker is not heard: $(cat "$out/logs/rank-0.log")"
grep -q "attempt.json was written by a newer release (format 9.*goes on under a shim" "$out/logs/rank-0.log" ||
    fail "the job's log does not say of its shim: $(cat "$out/logs/rank-0.log")"
player_gone && fail "an attempt of a later release was ended"
state_is "$id" running || fail "a job of a later release is $now"
[ "$(attempts '[.attempt, .lost]')" = '[[1,false]]' ] || fail "attempts of a later release: $text"
verb "$id" cancel
wait_state "$id" cancelled
within 5 player_gone || fail "a shim of a later release was not told to stop"
[[ $(attempts .message) == *"exit.json was written by a newer release (format 9"* ]] || fail "its end: $text"
has_all_points || fail "metrics of a later release's attempt are not read at its end"
stop_daemon
