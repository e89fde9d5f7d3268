#!/bin/bash
# The configuration file: checked without a start, and read again by SIGHUP.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
conf=$tmp/distilld.conf
check() { # STATUS TEXT
    "$builddir/distilld" --state "$state" --config "$conf" --check-config >"$tmp/said" 2>&1
    local status=$?
    [ $status -eq "$1" ] && grep -qF "$2" "$tmp/said" || fail "status $status, not $1 with \"$2\": $(cat "$tmp/said")"
    [ ! -e "$state" ] || fail "a check has made the state folder"
}
echo 'max-body = 2000' >"$conf"
check 0 'the configuration is good'
echo 'max-bodi = 2000' >"$conf"
check 2 'max-bodi'
echo 'max-body = 12' >"$conf"
check 2 'max-body'
echo 'log-level = loud' >"$conf"
check 2 'loud'
echo "worker = $tmp/none" >"$conf"
check 2 "$tmp/none cannot be run"
echo 'listen = here' >"$conf"
check 2 'expected HOST:PORT'

echo 'max-body = 2000' >"$conf"
start_daemon --config "$conf"
post_job "$(job '.labels = {pad: ("x" * 3000)}')"
problem 413 too_large "more than the file allows"
# A setting on the command line stays, one that needs a start is named, and the others are taken.
printf 'max-body = 8000\nlog-level = warn\nlease = 77\n' >"$conf"
reread() {
    grep -q "$1" "$tmp/daemon.log"
}
kill -HUP "$daemon"
within 10 reread 'takes effect at the next start setting=lease' || fail "no word of a setting that waits"
post_job "$(job '.labels = {pad: ("x" * 3000)}')"
expect 202 "what the file allows now"
id=$(body .id)
grep -q "job accepted job=$id" "$tmp/daemon.log" && fail "log-level was not taken"
# A mistake changes nothing.
echo 'max-body = many' >"$conf"
kill -HUP "$daemon"
within 10 reread 'the configuration stays as it was' || fail "no word of the mistake"
post_job "$(job '.labels = {pad: ("x" * 3000)}')"
expect 202 "after a file with a mistake"
for id in $(get /api/v1/jobs '.items[].id'); do
    api POST "/api/v1/jobs/$id:cancel"
done
within 20 no_attempts || fail "attempts stay"
problems_are_whole
stop_daemon

# What the worker can do is asked once, and again when it is another file.
cp "$builddir/distill-worker" "$tmp/worker"
models() {
    get /api/v1/catalog '.models | length'
}
start_daemon --worker "$tmp/worker"
all=$(models)
[ "$all" -gt 1 ] || fail "$all models"
stop_daemon
jq -c '.catalog.models |= .[:1]' "$state/catalog.json" >"$tmp/kept" && cp "$tmp/kept" "$state/catalog.json"
start_daemon --worker "$tmp/worker"
[ "$(models)" = 1 ] || fail "the worker was asked again: $(models) models"
stop_daemon
touch "$tmp/worker"
start_daemon --worker "$tmp/worker"
[ "$(models)" = "$all" ] || fail "another worker was not asked: $(models) models"
stop_daemon

# One that takes its time keeps nobody from asking, but a job is judged only then; one that does not tell is named.
cat >"$tmp/late" <<W
#!/bin/bash
while [ ! -e "$tmp/now" ] && [ "\$1" = catalog ]; do sleep 0.1; done
exec "$builddir/distill-worker" "\$@"
W
chmod +x "$tmp/late"
start_daemon --worker "$tmp/late"
api GET /healthz
expect 200 "health while the worker is asked"
(sleep 0.5 && touch "$tmp/now") &
post_job "$(job '.student.model = "resnet9"')"
problem 422 invalid "a model that the worker does not know"
stop_daemon
printf '#!/bin/sh\nexit 3\n' >"$tmp/late"
"$builddir/distilld" --state "$state" --listen "$listen" --worker "$tmp/late" 2>"$tmp/err" && fail "a worker that does not tell"
grep -q "asking $tmp/late what it can do" "$tmp/err" || fail "no word of it: $(cat "$tmp/err")"
