#!/bin/bash
# Each rank has a log of its own, and none of them grows without end.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit "$long"
wait_steps "$id" 2
logs=$state/jobs/$id/out/logs
for rank in 0 1; do
    [ -f "$logs/rank-$rank.log" ] || fail "rank $rank has no log"
done

# What a rank writes to its standard error stands in its own log.
errors=/proc/$(pid_of_rank 1)/fd/2
[ "$(readlink "$errors")" = "$logs/rank-1.log" ] || fail "rank 1 writes to $(readlink "$errors")"
echo "said by rank 1" >>"$errors"
api GET "/api/v1/jobs/$id/logs?rank=1&tail=1"
[ "$text" = $'said by rank 1\n' ] || fail "the log of rank 1: $text"

# Whatever lies where the shim notes how long a log is, it is not waited for.
rm -f "$logs/rank-1.times"
mkfifo "$logs/rank-1.times"

# A flood: of a rank's own file, and of what mpirun passes on. The shim cuts what it finds: all of it at once.
shim=$(pids_of shim)
kill -STOP "$shim"
head -c 40000000 /dev/zero | tr '\0' '\n' >>"$errors"
echo "the newest" >>"$errors"
kill -CONT "$shim"
is_small() { # FILE
    [ -f "$1" ] && [ "$(stat -c %s "$1")" -le $((16 << 20)) ]
}
within 20 is_small "$logs/rank-1.log" || fail "rank 1 floods the disk"
within 10 is_small "$logs/rank-1.log.1" || fail "too much is kept of an old log"
[ "$(cat "$logs"/rank-1.log.1 "$logs"/rank-1.log | tail -n 1)" = "the newest" ] || fail "the newest lines are lost"
echo "after the cut" >>"$errors"
api GET "/api/v1/jobs/$id/logs?rank=1&tail=1"
[ "$text" = $'after the cut\n' ] || fail "rank 1 after the cut: ${text:0:100}"
verb "$id" cancel
wait_state "$id" cancelled
stop_daemon

mkdir "$tmp/attempt"
DISTILLD_UPLINK=$state/uplink.sock DISTILLD_ATTEMPT=flood.1 "$builddir/distill-shim" --attempt "$tmp/attempt" \
    --out "$tmp/out" -- sh -c "head -c 60000000 /dev/zero | tr '\\0' '\\n' >&2; sleep 2.5; echo the end >&2; exit 3" \
    >"$tmp/shim.log" 2>&1 || fail "the shim: $(cat "$tmp/shim.log")"
for log in "$tmp"/out/logs/*; do
    is_small "$log" || fail "$log has $(stat -c %s "$log") bytes"
done
[ "$(jq -r '"\(.status) \(.message)"' "$tmp/attempt/exit.json")" = "3 the end" ] ||
    fail "the end of a flood: $(cat "$tmp/attempt/exit.json")"
