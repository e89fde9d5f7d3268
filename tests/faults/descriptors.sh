#!/bin/bash
# A daemon that has no descriptor left: it waits instead of spinning, answers again when some are free, and a
# job that could not be started is started later.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

limit() { # DESCRIPTORS beyond those that are open now
    prlimit --pid "$daemon" --nofile=$(($(ls "/proc/$daemon/fd" | wc -l) + $1)):
}

cpu_ticks() {
    local stat
    read -r stat <"/proc/$daemon/stat"
    read -r _ _ _ _ _ _ _ _ _ _ _ user system _ <<<"${stat##*) }"
    echo $((user + system))
}

answers() {
    api GET /api/v1/queue
    [ "$code" = 200 ]
}

start_daemon
prlimit --pid "$daemon" --nofile=1024: 2>/dev/null || { echo "SKIP: limits cannot be changed (prlimit)"; exit 77; }

# More connections than it can take.
limit 6
fds=()
for _ in {1..20}; do
    exec {fd}<>"/dev/tcp/$address" && fds+=("$fd")
done
pause 0.5
ticks=$(cpu_ticks)
pause 1.5
spent=$(($(cpu_ticks) - ticks))
[ $spent -le $(($(getconf CLK_TCK) / 2)) ] || fail "it spins: $spent ticks of 1.5 s"
for fd in "${fds[@]}"; do
    exec {fd}>&-
done
within 20 answers || fail "it does not answer after connections were closed"

# None left to start a job with: the attempt ends before it begins and is retried, or, where even its folder
# cannot be opened, the job waits for its first.
submit '.resources.ranks = 1 | .train.max_steps = 2 | .hold = true | .retry = {max_attempts: 20, backoff_s: 1, backoff_max_s: 1}'
limit 1
verb "$id" release
within 20 grep -qi "cannot be started .*too many open files" "$tmp/daemon.log" || fail "it started without descriptors"
prlimit --pid "$daemon" --nofile=1024:
wait_state "$id" succeeded
first=$(get "/api/v1/jobs/$id/attempts" '.items[0] | "\(.class): \(.message)"')
if grep -q "an attempt cannot be started" "$tmp/daemon.log"; then
    [[ $first == "infra: starting "*": too many open files" ]] || fail "the attempt that could not be started: $first"
else
    [ "$first" = "null: " ] || fail "the only attempt: $first"
fi
stop_daemon

# With a limit that is low from the start, connections leave room for whoever comes by the socket.
prlimit --nofile=256 --pid $$
start_daemon
fds=()
for _ in {1..200}; do
    exec {fd}<>"/dev/tcp/$address" && fds+=("$fd")
done 2>/dev/null
pause 0.5
[ "$(ls "/proc/$daemon/fd" | wc -l)" -lt 250 ] || fail "connections take all descriptors"
ticks=$(cpu_ticks)
pause 1.5
spent=$(($(cpu_ticks) - ticks))
[ $spent -le $(($(getconf CLK_TCK) / 2)) ] || fail "it spins at its limit of connections: $spent ticks of 1.5 s"
ctl nodes >/dev/null || fail "the socket does not answer beside ${#fds[@]} connections"
for fd in "${fds[@]}"; do
    exec {fd}>&-
done
