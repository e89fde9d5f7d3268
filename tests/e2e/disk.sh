#!/bin/bash
# A full disk: what cannot be stored is refused and not half accepted, and the daemon goes on when there
# is room again. The disk is a limit on the size of the daemon's files.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v prlimit >/dev/null || { echo "SKIP: prlimit is not installed (Debian package util-linux)"; exit 77; }

trap '' XFSZ # inherited: a write beyond the limit fails instead of ending the process
start_daemon
trap - XFSZ

full() {
    prlimit --pid "$daemon" --fsize=512:unlimited
}
room() {
    prlimit --pid "$daemon" --fsize=unlimited:unlimited
}
count() {
    get /api/v1/jobs '.items | length'
}

full
for i in 1 2 3; do
    post_job "$(job)"
    problem 503 io "submission $i to a full disk"
done
[ "$(count)" = 0 ] || fail "a refused submission is in the list"
api POST /api/v1/session
problem 503 io "a session on a full disk"
for path in /healthz /api/v1/jobs /metrics; do
    api GET $path
    expect 200 "$path with a full disk"
done
api GET /readyz
problem 503 io "/readyz with a full disk"
room
api GET /readyz
expect 200 "/readyz when there is room again"
submit "$long"
wait_steps "$id" 3

# Full in the middle of a job: it goes on; what can only be noted is noted later.
full
before=$(grep -c '"name":"loss/total"' "$state/jobs/$id/out/metrics.jsonl")
within 10 has_steps "$id" $((before + 5)) || fail "the ranks stop with the daemon's disk"
api POST "/api/v1/jobs/$id:cancel"
problem 503 io "cancel on a full disk"
state_is "$id" running || fail "job is $now"
[[ $text == *'"cancel_requested":false'* ]] || fail "a cancel that was refused is remembered: $text"
# shellcheck disable=SC2046
kill $(pids_of shim)
within 10 no_attempts || fail "the attempt does not end"
done_by_first=$(grep -c '"name":"loss/total"' "$state/jobs/$id/out/metrics.jsonl")
state_is "$id" running || fail "job is $now although nothing can be written"
room
again() {
    look "$id"
    [[ $now == running && $text == *'"attempt":2,'* ]]
}
within 15 again || fail "the end of the attempt is not noted later: $text"
wait_steps "$id" $((done_by_first + 1)) # the file is cut to the checkpoint first: no sooner is it level with the series
verb "$id" cancel
wait_state "$id" cancelled
same_metrics "$id"
problems_are_whole
[ "$(get "/api/v1/jobs/$id/events" '[.items[].id] | . == (sort | unique)')" = true ] || fail "ids of the history"
stop_daemon

# A folder that cannot be made: the job waits, and starts when it can.
start_daemon
mv "$state/jobs" "$state/away"
touch "$state/jobs"
submit '.train.max_steps = 1'
refused() {
    grep -q 'cannot be started yet' "$tmp/daemon.log"
}
within 5 refused || fail "no word about a job that cannot be started"
state_is "$id" queued || fail "job is $now without a folder"
rm "$state/jobs"
mv "$state/away" "$state/jobs"
wait_state "$id" succeeded
[ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "attempt $(get "/api/v1/jobs/$id" .attempt)"
stop_daemon

# The disk of the jobs is full. What a run writes on its way waits for room, and so does its end, in another attempt;
# the bytes are those of an undisturbed run.
mkdir -p "$tmp/full/jobs"
mount -t tmpfs -o size=16m distilld-test "$tmp/full/jobs" 2>/dev/null ||
    { echo "SKIP: the disk of the jobs: a tmpfs cannot be mounted here"; exit 77; }
at_end="umount -l $tmp/full/jobs"
state=$tmp/full
spec='.train.max_steps = 80 | .train.epochs = 100 | .checkpoint = {every_steps: 2, every_epochs: null, keep: 2} |
    .retry = {max_attempts: 1000, backoff_s: 1, backoff_max_s: 1}'
calm_run "$(job "$spec")" "$tmp/calm"
start_daemon

# Until there has been no checkpoint for ten steps: one that is being written when the disk fills up makes room, with
# what it takes the place of.
is_full() {
    cat /dev/zero >>"$state/jobs/ballast" 2>/dev/null
    newest=$(cd "$out/checkpoints" && printf '%s\n' step-*.json | tail -1)
    look "$id"
    [[ $text =~ \"step\":([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge $((10#${newest//[^0-9]/} + 10)) ]
}
fill() {
    wait_steps "$id" 6
    out=$state/jobs/$id/out
    within 30 is_full || fail "the run does not go on on a full disk, after $newest: $text"
}

submit "$spec"
fill
rm "$state/jobs/ballast"
wait_state "$id" succeeded 60
[ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "a full disk has cost an attempt: $(get "/api/v1/jobs/$id/attempts" .)"
grep -q "could be written again, at step" "$out/logs/rank-0.log" || fail "the log does not say that outputs were late"
same_run "$out" "$tmp/calm"
same_metrics "$id"

submit "$spec"
fill
first_is_over() {
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '.items[0].status')" != null ]
}
within 60 first_is_over || fail "the run does not end on a full disk: $text"
[ "$(body '.items[0] | [.status, .class] | tostring')" = '[74,"infra"]' ] || fail "the end on a full disk: $text"
[[ $(body '.items[0].message') == *"distill-worker train: "*"No space left on device" ]] || fail "the end on a full disk is not explained: $text"
rm "$state/jobs/ballast"
wait_state "$id" succeeded 60
same_run "$out" "$tmp/calm"
same_metrics "$id"
stop_daemon
