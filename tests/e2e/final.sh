#!/bin/bash
# Attempts are counted, and a failure of the job's own is final: only a user runs it again.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec='.train.epochs = 20 | .checkpoint = {every_steps: 3, every_epochs: null}'
start_daemon

# Attempts are counted.
submit "$long | .retry.max_attempts = 1"
within 20 has_steps "$id" 1 || fail "no progress"
# Whose end it was, and what that rank said last; what it said in an earlier attempt is none of it.
kill -STOP "$(pid_of_rank 1)" # so that it does not say more
printf 'rank 1 gave\nup\033[31m' >>"$state/jobs/$id/out/logs/rank-1.log"
kill -9 "$(pid_of_rank 1)"
wait_state "$id" failed
why=$(get "/api/v1/jobs/$id" .reason.message)
[[ $why == *"rank 1 on host $(hostname) ended by signal 9 (SIGKILL): "*"rank 1 gave / up?[31m" ]] || fail "reason: $why"
[ "$(get "/api/v1/jobs/$id" '.reason.code + " " + (.attempt | tostring)')" = "attempts_exhausted 1" ] || fail "$(get "/api/v1/jobs/$id" .)"
[[ $(get "/api/v1/jobs/$id" .reason.message) == *"1 of 1"*"signal 9 (SIGKILL)"* ]] || fail "reason: $(get "/api/v1/jobs/$id" .reason)"
stop_daemon

# The worker's own failure is final.
DISTILLD_FAULT=rank:1,step:3,kind:exit start_daemon
submit "$spec"
wait_state "$id" failed
[ "$(get "/api/v1/jobs/$id" '.reason.code + " " + (.attempt | tostring)')" = "failed 1" ] || fail "$(get "/api/v1/jobs/$id" .)"
[ "$(get "/api/v1/jobs/$id/attempts" '[.items[] | .status, .signal] | tostring')" = '[1,null]' ] ||
    fail "attempt: $(get "/api/v1/jobs/$id/attempts" .)"
why=$(get "/api/v1/jobs/$id" .reason.message)
[[ $why == "rank 1 on host $(hostname) ended with status 1"* ]] || fail "reason: $why"
[ "$(get "/api/v1/jobs/$id/attempts" '.items[0].message')" = "$why" ] || fail "the attempt does not tell: $(get "/api/v1/jobs/$id/attempts" .)"
# By hand it is run again (the fault strikes first attempts only).
verb "$id" retry
wait_state "$id" succeeded
same_metrics "$id"
stop_daemon

# mpirun was told to end by somebody who was not asked to: no rank is to blame, and a hold is not lost.
start_daemon
submit "$long | .retry = {max_attempts: 1, max_preemptions: 5, backoff_s: 0}"
n=0
for signal in TERM INT HUP; do
    within 20 has_steps "$id" $((n * 4 + 3)) || fail "no progress before SIG$signal"
    n=$((n + 1))
    kill -$signal "$(pids_of mpirun)"
    within 20 test -d "$state/jobs/$id/attempts/$((n + 1))" || fail "no attempt after SIG$signal: $(get "/api/v1/jobs/$id" .reason)"
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body "[.items[] | select(.attempt == $n) | .class, .stopped, (.message | test(\"stopped from outside\"))] | tostring")" = \
        '["preempted",true,true]' ] || fail "SIG$signal: $text"
    wait_state "$id" running
done
kill -STOP "$(pid_of_rank 1)" # so that the hold is not carried out before
verb "$id" hold
kill -TERM "$(pids_of mpirun)"
wait_state "$id" queued
[ "$(body .reason.code)" = held ] || fail "the hold is lost: $text"
verb "$id" cancel
wait_state "$id" cancelled
stop_daemon

# What keeps an attempt from starting is not the job's fault: it is tried again, and says what it was.
cannot_start() { # CAUSE
    submit '.retry = {max_attempts: 2, backoff_s: 0}'
    wait_state "$id" failed
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '[.items[].class] | tostring')" = '["infra","infra"]' ] || fail "$1: classes: $text"
    [[ $(get "/api/v1/jobs/$id" .reason.message) == *"(infra 2 of 2): could not be started: "*$1 ]] ||
        fail "$1: $(get "/api/v1/jobs/$id" .reason.message)"
    stop_daemon
}

mkdir "$tmp/bin"
for tool in sh env; do
    ln -s "$(command -v $tool)" "$tmp/bin"
done
cat >"$tmp/shim" <<S
#!/bin/sh
PATH=$tmp/bin exec "$builddir/distill-shim" "\$@"
S
chmod +x "$tmp/shim"
start_daemon --shim "$tmp/shim"
cannot_start "starting mpirun*: No such file or directory"

# The shim's first record cannot be written.
sed -i "s|^PATH.* exec|DISTILLD_FAULT=io:rename:1 exec|" "$tmp/shim"
start_daemon --shim "$tmp/shim"
cannot_start "attempt.json: Input/output error"

# Rank 0 alone cannot write: it ends the others, and is the one that is named.
cat >"$tmp/worker" <<S
#!/bin/sh
DISTILLD_FAULT=io:fsync:5+ exec "$builddir/distill-worker" "\$@"
S
chmod +x "$tmp/worker"
start_daemon --worker "$tmp/worker"
submit "$spec | .retry.max_attempts = 1"
wait_state "$id" failed
why=$(get "/api/v1/jobs/$id" .reason.message)
[[ $why == *"rank 0 on host $(hostname) ended with status 74: "*"distill-worker train: fsync "*"Input/output error" ]] || fail "reason: $why"
stop_daemon
