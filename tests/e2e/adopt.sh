#!/bin/bash
# What a daemon makes of attempts that it did not start itself: it believes no record of before a reboot,
# harms nobody because of one, and does not wait for ever for an attempt whose folder is gone.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

spec='.train.epochs = 15 | .checkpoint = {every_steps: 3, every_epochs: null} | .retry.max_attempts = 2'

# The first attempt is lost, the second has begun.
lost_once() {
    api GET "/api/v1/jobs/$id/attempts"
    [ "$(body '[.items[].lost] | tostring')" = "[true,false]" ]
}

# Ranks that are not heard are shown so, and have not failed.
apart() {
    [ "$(get "/api/v1/jobs/$id" '"\(.state) \(.progress.disconnected_since | type)"')" = "$1" ]
}
start_daemon
submit "$spec"
wait_steps "$id" 5
kill_daemon
stopped=$(attempt_pids)
kill -STOP $stopped
start_daemon
within 20 apart "running string" || fail "ranks that are stopped: $text"
ctl show "$id" | grep -q disconnected || fail "shown: $(ctl show "$id")"
kill -CONT $stopped
within 20 apart "running null" || apart "succeeded null" || fail "ranks that go on: $text"
wait_state "$id" succeeded 60
[ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "the attempt was lost: $text"
stop_daemon
rm -rf "$state"

# A copy of the state on a machine that was booted again: its attempt is lost there, and goes on here. Its ranks stand
# still until that is looked at.
start_daemon
submit "$spec"
wait_steps "$id" 5
before=$(attempt_pids)
ranks=$(pids_of worker)
# shellcheck disable=SC2086
kill -STOP $ranks
kill_daemon
cp -a "$state" "$tmp/copy"
jq '.boot_id = "00000000-0000-0000-0000-000000000000"' "$state/jobs/$id/attempts/1/attempt.json" \
    >"$tmp/copy/jobs/$id/attempts/1/attempt.json"
here=$state state=$tmp/copy
start_daemon
within 20 lost_once || fail "an attempt of before a reboot: $text"
[ "$(body '.items[0].message')" = "the machine was started again" ] || fail "its message: $text"
state=$here
[ "$(attempt_pids)" = "$before" ] || fail "strangers were harmed: $before; $(attempt_pids)"
# shellcheck disable=SC2086
kill -CONT $ranks
state=$tmp/copy
wait_state "$id" succeeded 60
same_metrics "$id"
stop_daemon
state=$here
start_daemon
wait_state "$id" succeeded 60
[ "$(get "/api/v1/jobs/$id" .attempt)" = 1 ] || fail "the attempt here was lost: $text"
for f in student.safetensors metrics.jsonl; do
    cmp -s "$state/jobs/$id/out/$f" "$tmp/copy/jobs/$id/out/$f" || fail "$f differs between here and there"
done

# The folder of a running attempt is removed, with its lock and all that its shim could leave there.
submit "$spec | .name = \"gone\""
wait_steps "$id" 5
before=$(attempt_pids)
kill_daemon
rm -r "$state/jobs/$id/attempts/1"
start_daemon
within 20 lost_once || fail "an attempt without a folder: $text"
[ "$(body '.items[0].message')" = "its folder is gone" ] || fail "its message: $text"
for p in $before; do
    ! grep -qzsx "DISTILLD_ATTEMPT=$id.1" "/proc/$p/environ" || fail "process $p of the attempt goes on"
done
wait_state "$id" succeeded 60
same_metrics "$id"
stop_daemon
