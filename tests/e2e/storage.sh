#!/bin/bash
# What the disk does to the state: no room, a sync that fails, another program that holds the database, a damaged row,
# a damaged file. Nothing is acknowledged that is not on disk, and what can be gone on with is.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v sqlite3 >/dev/null || { echo "SKIP: sqlite3 is not installed (Debian package sqlite3)"; exit 77; }
skipped=()
pauses() {
    api POST /api/v1/queue:pause
    expect 200 "pausing the queue"
}
ids() {
    get '/api/v1/jobs?page_size=500' '.items[].id'
}

# -- Held by another program: refused after a while, reading goes on, and it recovers by itself --
start_daemon
pauses
submit
first=$id
coproc HOLD { sqlite3 "$state/state.db"; }
hold=$HOLD_PID
printf '.timeout 10000\nBEGIN IMMEDIATE;\nSELECT 1;\n' >&"${HOLD[1]}"
read -r -t 20 -u "${HOLD[0]}" _ || fail "the database cannot be held"
post_job "$(job)"
problem 503 storage_busy "a submission while the database is held"
header retry-after
[ "$value $(body .retry_after_s)" = '1 1' ] || fail "when to come again: $head$text"
api GET /readyz
problem 503 storage_busy "/readyz while the database is held"
api GET "/api/v1/jobs/$first"
expect 200 "reading while the database is held"
printf 'COMMIT;\n.quit\n' >&"${HOLD[1]}"
wait "$hold" 2>/dev/null
submit
second=$id
api GET /readyz
expect 200 "/readyz afterwards"
[ "$(ids | wc -l)" = 2 ] || fail "a refused submission is in the list: $(ids)"
stop_daemon

# -- Only the daemon's user reads the databases, whoever else may look into the folder, also those of an earlier daemon --
chmod 755 "$state"
chmod 644 "$state/state.db" "$state/metrics.db"
start_daemon
ctl backup >"$tmp/said" 2>&1 || within 10 ctl backup >"$tmp/said" 2>&1 || fail "no copy: $(cat "$tmp/said")"
modes=$(find "$state" -name '*.db*' -printf '%m %P\n' | sort -k2)
[ "$modes" = "600 backup/state.db
600 metrics.db
600 metrics.db-shm
600 metrics.db-wal
600 state.db
600 state.db-shm
600 state.db-wal" ] || fail "modes: $modes"
stop_daemon
rm -r "$state/backup"

# -- A damaged row is set aside; the others go on. A state that is none becomes "failed", other damage stays as it is --
given_as() { # DAMAGE
    reason=damaged
    [[ $1 != state=* ]] || reason=set_aside
}
for damage in "state='nonsense'" "spec='{\"kind\":'" "kind='nonsense'"; do
    given_as "$damage"
    cp "$state/state.db" "$tmp/whole.db"
    sqlite3 "$state/state.db" "UPDATE job SET $damage WHERE id='$first'" || fail "damaging a row"
    start_daemon
    api GET /api/v1/jobs
    expect 200 "the list with $damage"
    [ "$(body '[.items[] | "\(.id) \(.state)"] | sort | join(",")')" = "$first failed,$second queued" ] ||
        fail "with $damage: $(body '.items[] | "\(.id) \(.state) \(.reason)"')"
    [ "$(get '/api/v1/jobs?state=queued' '[.items[].id] | join(",")')" = "$second" ] || fail "queued with $damage: $text"
    [ "$(get /api/v1/projects/default .waiting)" = 1 ] || fail "waiting with $damage: $text"
    [ "$(get '/api/v1/jobs?project=default' '.items | length')" = 2 ] || fail "with $damage: its project has $text"
    grep -q "a damaged row is set aside job=$first" "$tmp/daemon.log" || fail "no word about $damage"
    api GET "/api/v1/jobs/$first"
    [[ $(body '.reason.code + ": " + .reason.message') == "$reason: "*'state.db is damaged: its '* ]] || fail "the job with $damage: $text"
    if [ $reason = damaged ]; then
        api POST "/api/v1/jobs/$first:retry"
        problem 409 conflict "running a damaged job again"
    fi
    # One that names it: it starts when that is over, which it is, also when the daemon starts.
    submit ".hold = true | .labels = {a: \"b-1\", c: \"\\\"\"} | .depends_on = [{job: \"$first\", when: \"finished\"}]"
    names=$id
    submit ".depends_on = [{job: \"$first\", when: \"succeeded\"}]"
    wait_state "$id" cancelled
    stop_daemon
    start_daemon
    api GET "/api/v1/jobs/$names"
    [ "$(body '.state + " " + .reason.code')" = "queued held" ] || fail "a job that names one with $damage: $text"
    for label in a:b-1 c:%22; do
        api GET "/api/v1/jobs?label=$label"
        expect 200 "the jobs of a label with $damage"
        [ "$(body '[.items[].id] | tostring')" = "[\"$names\"]" ] || fail "the jobs of label $label with $damage: $text"
    done
    api DELETE "/api/v1/jobs/$first"
    problem 409 conflict "removing a damaged job that another one names"
    verb "$names" cancel
    api DELETE "/api/v1/jobs/$first"
    expect 202 "removing a damaged job"
    api GET "/api/v1/jobs/$first"
    problem 410 gone "a damaged job that was removed"
    stop_daemon
    cp "$tmp/whole.db" "$state/state.db"
done

# -- One that is over stays what it became --
start_daemon
verb "$first" cancel
stop_daemon
sqlite3 "$state/state.db" "UPDATE job SET spec='{' WHERE id='$first'" || fail "damaging a row"
start_daemon
api GET "/api/v1/jobs/$first"
[ "$(body '.state + " " + .reason.code')" = "cancelled damaged" ] || fail "a damaged job that was cancelled: $text"
stop_daemon
cp "$tmp/whole.db" "$state/state.db"

# -- That of a job that runs: what runs of it is ended before its slots are given to others --
for damage in "spec='{\"kind\":'" "state='nonsense'"; do
    given_as "$damage"
    start_daemon
    api POST /api/v1/queue:resume
    verb "$first" cancel
    verb "$second" cancel
    submit "$long"
    damaged=$id
    wait_steps "$damaged" 1
    kill_daemon
    before=$(attempt_pids)
    [ -n "$before" ] || fail "a running job has no processes"
    sqlite3 "$state/state.db" "UPDATE job SET $damage WHERE id='$damaged'" || fail "damaging a row"
    start_daemon
    for pid in $before; do
        ! grep -qx "$pid" <(attempt_pids) || fail "process $pid of a job with $damage goes on"
    done
    submit '.train.max_steps = 1'
    wait_state "$id" succeeded
    api GET "/api/v1/jobs/$damaged"
    [ "$(body '.state + " " + .reason.code')" = "failed $reason" ] || fail "a job that ran, with $damage: $text"
    stop_daemon
    cp "$tmp/whole.db" "$state/state.db"
done

# -- A job whose start cannot be prepared says so, lets others pass, and starts when that is mended --
start_daemon
verb "$first" cancel
verb "$second" cancel
submit '.train.max_steps = 1 | .retry.max_attempts = 1'
stuck=$id
mkdir -p "$state/jobs/$stuck" && : >"$state/jobs/$stuck/out"
submit '.train.max_steps = 1'
api POST /api/v1/queue:resume
wait_state "$id" succeeded
api GET "/api/v1/jobs/$stuck"
[[ $(body '[.state, .attempt, .reason.code, .reason.message] | join(" ")') == "queued 0 cannot_start cannot be started: "*"jobs/$stuck/out"*"tried again after "* ]] ||
    fail "a job that cannot be started: $text"
rm "$state/jobs/$stuck/out"
wait_state "$stuck" succeeded 40
[ "$(get "/api/v1/jobs/$stuck" '[.attempt, .failures] | tostring')" = '[1,{}]' ] || fail "a start that could not be prepared counts: $text"
stop_daemon
cp "$tmp/whole.db" "$state/state.db"

# -- So is what else a row has in JSON: it is shown without it, and disturbs nothing --
cp "$state/state.db" "$tmp/whole.db"
start_daemon
send() { # METHOD PATH JSON
    local payload=$3
    api "$1" "$2" 'Content-Type: application/json'
}
send POST /api/v1/webhooks '{"url": "https://example.org/hook", "states": ["queued"]}'
expect 201 "a webhook"
hook=$(body .id)
send POST /api/v1/datasets '{"name": "tiny", "source": "procedural:classes=4,train=32,test=16,seed=3"}'
expect 201 "a data set"
submit '.labels = {of: "third"}'
third=$id
stop_daemon
sqlite3 "$state/state.db" "UPDATE webhook SET states='[\"que'; UPDATE dataset SET labels='{bad', manifest='[1';
    INSERT INTO model(name, version, kind, sha256, tensors_sha256, size, created_ms, about)
        VALUES('old', 1, 'upload', '$(printf 'a%.0s' {1..64})', '', 1, 1, '{\"arch');
    UPDATE job SET spec='{' WHERE id='$second'" || fail "damaging rows"
start_daemon
submit '.data.source = "dataset:tiny"'
verb "$id" cancel
api GET /api/v1/webhooks
expect 200 "webhooks with a damaged row"
[ "$(body '.items[0] | "\(.enabled) \(.states) \(.failure)"')" = "false [] its row in state.db is damaged: nobody knows of which states it is told; give them again" ] ||
    fail "a damaged webhook: $text"
grep -q "a damaged row is set aside row=\"$hook\"" "$tmp/daemon.log" || fail "no word about the webhook"
send PATCH "/api/v1/webhooks/$hook" '{"enabled": true}'
problem 422 invalid "a damaged webhook that is enabled"
send PATCH "/api/v1/webhooks/$hook" '{"enabled": true, "states": ["cancelled"]}'
expect 200 "mending a webhook"
[ "$(body '"\(.enabled) \(.states) \(.failure)"')" = 'true ["cancelled"] null' ] || fail "a mended webhook: $text"
for path in /api/v1/datasets /api/v1/datasets/tiny; do
    api GET $path
    expect 200 "$path with a damaged row"
    [ "$(body '.items[0] // . | "\(.labels) \(.manifest)"')" = "null null" ] || fail "a damaged data set: $text"
done
api GET /api/v1/models/old
expect 200 "a damaged model"
[ "$(body '.versions[0].architecture // "null"')" = null ] || fail "a damaged model: $text"
post_job "$(job '.kind = "distill" | .teacher = {weights: "model:old"} | .losses = [{kind: "ce"}, {kind: "kd"}]')"
problem 422 invalid "a job whose teacher is damaged"
[[ $text == *'whose row in state.db is damaged'* ]] || fail "a job whose teacher is damaged: $text"
[ "$(get '/api/v1/jobs?label=of:third' '[.items[].id] | join(",")')" = "$third" ] || fail "jobs with a label, one of them damaged: $text"
stop_daemon
cp "$tmp/whole.db" "$state/state.db"
rm -rf "$state/jobs" # of those that it does not know

# -- A file from a newer program, and a damaged one, are refused with a sentence; the file stays as it is --
refused() { # TEXT
    cp "$state/state.db" "$tmp/before.db"
    : >"$tmp/daemon.log"
    try_daemon && fail "the daemon starts although: $1"
    wait "$daemon"
    local status=$?
    daemon=
    [ $status -eq 65 ] || fail "$1: status $status"
    grep -q "$1" "$tmp/daemon.log" || fail "no word of: $1"
    cmp -s "$state/state.db" "$tmp/before.db" || fail "the file was changed"
}
version=$(sqlite3 "$state/state.db" 'PRAGMA user_version')
sqlite3 "$state/state.db" 'PRAGMA user_version=9999'
refused "was written by a newer distilld (schema 9999, this one knows $version)"
sqlite3 "$state/state.db" "PRAGMA user_version=$version"
# -- A copy, and the way back to it --
start_daemon --slots 3
for id in "$first" "$second"; do
    verb "$id" cancel
done
api POST /api/v1/queue:resume
one_rank='.train.epochs = 25 | .checkpoint = {every_steps: 2, every_epochs: null} | .resources.ranks = 1'
submit "$one_rank"
retried=$id
wait_steps "$id" 3
copies() { # not while the one of the start is being made
    copy=$(ctl backup 2>"$tmp/err")
}
within 10 copies || fail "no copy: $(cat "$tmp/err")"
[ "$copy" = "$state/backup/state.db" ] && [ "$(sqlite3 "$copy" 'SELECT count(*) FROM job')" = 3 ] || fail "the copy $copy"
# What the copy does not know: an attempt of a job, a job that runs, one that waits, and one of which nobody kept what it is.
kill -9 "$(pid_of_rank 0)"
goes_on() { # ID ATTEMPT
    [ "$(get "/api/v1/jobs/$1" '"\(.state) \(.attempt)"')" = "running $2" ]
}
within 20 goes_on "$retried" 2 || fail "no second attempt: $text"
submit "$one_rank | .priority = 7 | .labels = {kept: \"yes\"}"
ran=$id
wait_steps "$id" 1
submit "$long | .resources.ranks = 1"
stray=$id
wait_steps "$id" 1
rm "$state/jobs/$stray/attempts/1/job.json"
submit '.hold = true'
later=$id
last_event=$(get "/api/v1/jobs/$id/events" '[.items[].id] | max')
stop_daemon
size=$(stat -c %s "$state/state.db")
dd if=/dev/urandom of="$state/state.db" bs=4096 seek=2 count=$((size / 4096 - 2)) conv=notrunc 2>/dev/null
refused "state.db is damaged: "
mv "$state/state.db" "$tmp/damaged.db"
cp /dev/null "$state/state.db" && cp /dev/null "$tmp/before.db"
refused "state.db is empty, and there is a copy of it: distilld --recover takes that"
mv "$tmp/damaged.db" "$state/state.db"
start_daemon --slots 3 --recover
[ "$(ids | sort)" = "$(printf '%s\n' "$first" "$second" "$retried" "$ran" | sort)" ] || fail "jobs after going back: $(ids)"
api GET "/api/v1/jobs/$later"
problem 404 not_found "a job that came after the copy, and of which nothing ran"
is_put_down() {
    grep -q "an attempt that no job knows of is ended; what it wrote stays attempt=$stray.1" "$tmp/daemon.log" &&
        [ -z "$(grep -lzsx "DISTILLD_JOB=$stray" /proc/[0-9]*/environ)" ]
}
within 20 is_put_down || fail "an attempt that no job knows of goes on: $(attempt_pids)"
[ -s "$state/jobs/$stray/out/metrics.jsonl" ] || fail "what it wrote is gone"
[ "$(get "/api/v1/jobs/$ran" '[.attempt, .priority, .owner, .spec.labels.kept] | tostring')" = '[1,7,"root","yes"]' ] || fail "a job that came after the copy: $text"
wait_state "$retried" succeeded
wait_state "$ran" succeeded
[[ $(get "/api/v1/jobs/$ran/events" '[.items[] | .state + .code] | join(" ")') == "queued startingrecovered running succeeded" ]] || fail "its history: $text"
same_metrics "$ran"
same_metrics "$retried"
cmp -s "$state/jobs/$ran/out/student.safetensors" "$state/jobs/$retried/out/student.safetensors" || fail "two runs of the same end in other bytes"
[ "$(get "/api/v1/jobs/$retried/attempts" '[.items[] | .attempt, .class] | tostring')" = '[1,"infra",2,null]' ] || fail "attempts: $text"
[ "$(get "/api/v1/jobs/$ran/attempts" '[.items[] | .attempt, .class, .placement] | tostring')" = '[1,null,"localhost:1"]' ] || fail "attempts: $text"
compgen -G "$state/state.db.damaged-*" >/dev/null || fail "the damaged file is gone"
grep -q 'recovered from the copy of 20' "$tmp/daemon.log" || fail "no word of the way back"
submit '.hold = true'
[ "$(get "/api/v1/jobs/$id/events" '[.items[].id] | min')" -gt "$last_event" ] || fail "ids of events come again"
stop_daemon
start_daemon --recover # of a file that is whole: it stays
api GET "/api/v1/jobs/$id"
expect 200 "a job in a file that was whole"
stop_daemon
rm -rf "$state"/state.db* "$state/backup"
try_daemon --recover && fail "the daemon starts without a copy"
wait "$daemon"
daemon=
grep -q 'backup/state.db is not there: no copy has been made' "$tmp/daemon.log" || fail "no word of the missing copy"
rm -rf "$state"

# -- No room: refused as such, told by /readyz, gone when there is room --
mkdir -p "$state"
if mount -t tmpfs -o size=2m distilld-test "$state" 2>/dev/null; then
    at_end() {
        umount -l "$tmp/state" 2>/dev/null
    }
    at_end=at_end
    start_daemon
    pauses
    submit
    first=$id
    within 10 test -e "$state/backup/state.db" || fail "no first copy" # which would leave room when it fails
    dd if=/dev/zero of="$state/ballast" bs=4096 2>/dev/null
    for ((i = 0; i < 200; i++)); do
        post_job "$(job)"
        [ "$code" = 202 ] || break
    done
    problem 507 storage_exhausted "a submission to a full disk"
    api GET /readyz
    problem 507 storage_exhausted "/readyz with a full disk"
    n=$(ids | wc -l)
    [ "$n" = $((i + 1)) ] || fail "$n jobs are listed, $((i + 1)) were accepted"
    kill_daemon
    rm "$state/ballast"
    start_daemon
    [ "$(ids | wc -l)" = "$n" ] || fail "$(ids | wc -l) jobs after a kill, $n were accepted"
    dd if=/dev/zero of="$state/ballast" bs=4096 2>/dev/null
    until [ "$code" = 507 ]; do
        post_job "$(job)"
    done
    rm "$state/ballast"
    api GET /readyz
    expect 200 "/readyz when there is room again"
    submit
    stop_daemon
    umount -l "$state"
    at_end=:
else
    skipped+=("a full disk: a tmpfs cannot be mounted here")
fi
rm -rf "$state"

# -- A sync that fails: the answer is a refusal, nothing is accepted after it, and the daemon ends with 74 --
if command -v strace >/dev/null && strace -qq -o /dev/null -e inject=fdatasync:error=EIO:when=1 true 2>/dev/null; then
    start_daemon
    pauses
    submit
    accepted=$id
    within 10 copies || fail "no copy: $(cat "$tmp/err")" # none is made by itself then
    kill_daemon
    # The one of the next commit: starting takes none when there is nothing to change. (Who looks for leaks traces, too, and
    # there can be only one.)
    traced=(env "ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -o "$tmp/syncs" -e trace=fdatasync)
    under=("${traced[@]}")
    start_daemon
    before=$(grep -c 'fdatasync' "$tmp/syncs")
    submit
    [ "$(grep -c 'fdatasync' "$tmp/syncs")" -gt "$before" ] || fail "a submission is not synced"
    second=$id
    # The tracer is the child: what it traces ends by its own pid.
    kill -9 "$(pgrep -P "$daemon" | head -1)"
    wait "$daemon" 2>/dev/null
    daemon=
    under=("${traced[@]}" -e "inject=fdatasync:error=EIO:when=$((before + 1))+")
    start_daemon
    post_job "$(job)"
    problem 503 io "a submission whose sync fails"
    post_job "$(job)"
    [ "$code" = 503 ] || [ "$code" = 000 ] || fail "a submission after a failed sync: $code $text"
    within 10 daemon_gone || fail "the daemon goes on after a failed sync"
    wait "$daemon"
    status=$?
    daemon=
    [ $status -eq 74 ] || fail "the daemon ended with status $status, not 74"
    under=()
    start_daemon
    for id in "$accepted" "$second"; do
        api GET "/api/v1/jobs/$id"
        expect 200 "a job that was accepted before the disk failed"
    done
    stop_daemon
else
    skipped+=("a failing sync: strace cannot inject here")
fi
problems_are_whole
[ ${#skipped[@]} -eq 0 ] || { printf 'SKIP: %s\n' "${skipped[@]}"; exit 77; }
