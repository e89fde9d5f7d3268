#!/bin/bash
# A rank that stands still is found, named and shown with its stacks; the job goes on in another attempt
# and ends in the bytes of an undisturbed run. One that is stopped and continued in time costs nothing.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

# A rank under a sanitizer takes long to end, too.
stall_s=$((PATIENCE > 3 ? 8 : 5)) brief_s=$((PATIENCE > 3 ? 8 : 3))
spec=".train.epochs = 6 | .checkpoint = {every_steps: 3, every_epochs: null, keep: 3} | .watchdog.stall_s = $stall_s"
start_daemon
submit "$spec | .name = \"calm\""
calm=$id
wait_state "$calm" succeeded

same_bytes() {
    local f
    for f in student.safetensors metrics.jsonl; do
        cmp -s "$state/jobs/$id/out/$f" "$state/jobs/$calm/out/$f" || fail "$1: $f differs from an undisturbed run's"
    done
}

# The job runs with a fault of rank 1 in its first attempt, under a daemon of its own.
hang() { # KIND WHAT
    kill_daemon
    DISTILLD_FAULT=rank:1,step:5,kind:$1 start_daemon
    submit "$spec | .name = \"$1\""
    wait_state "$id" succeeded 60
    same_bytes "$1"
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '[.items[] | .class] | tostring')" = '["hang",null]' ] || fail "$1: classes: $text"
    body '.items[0].message' | grep -q "^rank 1 on host .* has $2" || fail "$1: message: $text"
    [ "$(get "/api/v1/jobs/$id/events" '[.items[] | select(.code == "hang")] | length')" = 1 ] ||
        fail "$1: history: $(get "/api/v1/jobs/$id/events" .)"
    log=$state/jobs/$id/out/logs
    grep -q "^distill-shim: rank 1 on host .* has $2" "$log/rank-0.log" || fail "$1: the log does not say why"
    ! grep -q "^distill-shim: rank 0 " "$log/rank-0.log" || fail "$1: the rank that waits is blamed"
    grep -q "trainer_run" "$log/rank-0.log" || fail "$1: no stacks of rank 0"
}

hang spin "made no progress for .* at step 5, train, computing"
grep -q "(fault_strike+" "$log/rank-1.log" || fail "spin: stacks of rank 1: $(cat "$log/rank-1.log")"
hang sleep "made no progress for .* at step 5, train, computing"
grep -q "(fault_strike+" "$log/rank-1.log" || fail "sleep: stacks of rank 1: $(cat "$log/rank-1.log")"
hang stop "been silent"
grep -q "rank 1 (process [0-9]*) has been silent for .*T (stopped)" "$log/rank-0.log" || fail "stop: $(cat "$log/rank-0.log")"
grep -q "  thread [0-9]*: T (stopped)" "$log/rank-0.log" || fail "stop: the kernel's view is missing"

# From here on rank 1 stops itself at step 5, too, but is continued in time.
log_of() {
    log=$state/jobs/$id/out/logs/rank-0.log
}

is_stopped() {
    local stat
    rank=$(pid_of_rank 1)
    [ -n "$rank" ] && read -r stat <"/proc/$rank/stat" && [[ $stat == *") T "* ]]
}

one_attempt() { # WHAT
    wait_state "$id" succeeded 60
    [ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "$1 has cost an attempt: $(cat "$log")"
    same_bytes "$1"
}

submit "$spec | .name = \"paused\" | .watchdog.stall_s = 20"
log_of
within 20 grep -qs "rank 1 .*T (stopped)" "$log" || fail "a stopped rank is not shown: $(cat "$log")"
is_stopped || fail "rank 1 is not stopped"
kill -CONT "$rank"
within 20 grep -q "rank 1 is back" "$log" || fail "a continued rank is not shown: $(cat "$log")"
one_attempt "a pause of a rank"

# All of them, for longer than stall_s; the shim wakes up first, and must not take them for hung.
submit "$spec | .name = \"frozen\" | .watchdog.stall_s = 8"
log_of
within 20 is_stopped || fail "rank 1 does not stop"
shim=$(pids_of shim)
# shellcheck disable=SC2046
kill -STOP "$shim" $(pids_of worker)
pause 9
kill -CONT "$shim"
pause 0.3
# shellcheck disable=SC2046
kill -CONT $(pids_of worker)
one_attempt "a pause of the shim and all ranks"

# A shim that stands still with a rank finds nothing, and heeds no signal: the daemon ends it. So it does after a cancel.
stop_all() {
    # shellcheck disable=SC2046
    kill -STOP $(pids_of shim) $(pids_of worker)
}
kill_daemon
start_daemon
submit "$long | .watchdog.stall_s = $brief_s"
wait_steps "$id" 3
stop_all
hung_shim() {
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '.items[0] | [.class, .lost] | tostring')" = '["hang",true]' ]
}
within 30 hung_shim || fail "a stopped shim with stopped ranks is not found: $text"
[[ $(body '.items[0].message') == "its shim stood still "*"no progress at step "* ]] || fail "a stopped shim: $text"
verb "$id" cancel
wait_state "$id" cancelled

submit "$long | .watchdog.stall_s = 1000"
wait_steps "$id" 3
stop_all
ctl cancel "$id" --now >/dev/null || fail "cancel --now"
wait_state "$id" cancelled 30
no_attempts || fail "processes are left of a cancelled job: $(attempt_pids)"

kill_daemon

# One that stands still before it has said who it is.
cat >"$tmp/shim" <<X
#!/bin/bash
[ -e "$tmp/once" ] || { touch "$tmp/once"; kill -STOP \$\$; }
exec "$builddir/distill-shim" "\$@"
X
chmod +x "$tmp/shim"
start_daemon --shim "$tmp/shim"
submit ".train.max_steps = 3 | .watchdog.stall_s = $brief_s"
wait_state "$id" succeeded 30
[ "$(get "/api/v1/jobs/$id/attempts" '[.items[] | .class] | tostring')" = '["hang",null]' ] ||
    fail "a shim that stops before it has said who it is: $(get "/api/v1/jobs/$id/attempts" .)"
stop_daemon
