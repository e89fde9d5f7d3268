#!/bin/bash
# Attempts are counted, and a failure of the job's own is final: only a user runs it again.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec='.train.epochs = 20 | .checkpoint = {every_steps: 3, every_epochs: null}'
start_daemon

# Attempts are counted.
submit "$long | .retry.max_attempts = 1"
within 20 has_steps "$id" 1 || fail "no progress"
kill -9 "$(pid_of_rank 0)"
wait_state "$id" failed
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
# By hand it is run again (the fault strikes first attempts only).
verb "$id" retry
wait_state "$id" succeeded
same_metrics "$id"
stop_daemon
