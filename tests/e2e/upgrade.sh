#!/bin/bash
# State of earlier releases: what they had acknowledged is there after the daemon was replaced by this one, what
# they had started is gone on with, a copy of what was there is kept, and a newer release's state is refused.
# tests/e2e/upgrade/ has a folder for each: `sqlite3 FILE .dump` and PRAGMA user_version, of a daemon that was killed
# with a job that was over, one with labels, one that ran, and one that waited.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v sqlite3 >/dev/null || { echo "SKIP: sqlite3 is not installed (Debian package sqlite3)"; exit 77; }

version() {
    sqlite3 "$1" "PRAGMA user_version"
}

rows() { # FILE
    sqlite3 "$1" "SELECT id, name, created_ms, started_ms, finished_ms, result FROM job WHERE name = 'done'"
}

for release in "$srcdir"/tests/e2e/upgrade/*/; do
    state=$tmp/$(basename "$release")
    mkdir "$state"
    for file in state metrics; do
        sqlite3 "$state/$file.db" <"$release/$file.sql" || fail "the dump of $release"
    done
    was=$(version "$state/state.db") row=$(rows "$state/state.db")
    points=$(sqlite3 "$state/metrics.db" "SELECT count(*) FROM point JOIN series ON series = id
        WHERE job = '${row%%|*}'")
    [ -n "$row" ] && [ "$points" -gt 0 ] || fail "there is nothing in $release"

    start_daemon
    [ "$(version "$state/state.db")" -gt "$was" ] || fail "schema $was stays"
    [ "$(rows "$state/state.db")" = "$row" ] || fail "the job that was over: $(rows "$state/state.db")"
    [ "$(version "$state/state.db.before-$was")" = "$was" ] && [ "$(rows "$state/state.db.before-$was")" = "$row" ] ||
        fail "there is no copy of schema $was"
    api GET /api/v1/jobs
    ids=$(body '[.items[] | .name + "=" + .id] | join(" ")')
    [[ $ids =~ ^waiting=(.*)\ going=(.*)\ done=(.*)$ ]] || fail "jobs of schema $was: $ids"
    waiting=${BASH_REMATCH[1]} going=${BASH_REMATCH[2]} done=${BASH_REMATCH[3]}
    [ "$(body '.items[-1] | [.state, .spec.labels.kept, (.result.final.top1 != null | tostring)] | join(" ")')" = "succeeded yes true" ] ||
        fail "the job that was over: $text"
    [ "$(get "/api/v1/jobs/$done/metrics/series" '[.series[].points | length] | add')" = "$points" ] || fail "points of schema $was: $text"
    [ "$(get "/api/v1/jobs/$done/events" '.items | length')" -ge 3 ] || fail "events of schema $was: $text"
    wait_state "$going" running
    verb "$going" cancel
    wait_state "$waiting" succeeded
    wait_state "$going" cancelled
    stop_daemon
done

# One that a later release has written stays as it is.
sqlite3 "$state/state.db" "PRAGMA user_version = 9999"
before=$(sqlite3 "$state/state.db" .dump | cksum)
! try_daemon || fail "a newer schema is taken"
daemon=
grep -q "was written by a newer distilld" "$tmp/daemon.log" || fail "a newer schema is refused without a reason"
[ "$(sqlite3 "$state/state.db" .dump | cksum)" = "$before" ] || fail "a newer schema was changed"
