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

printf 'max-body = 2000\nhost = a\nhost = b\n# max-body = 1\nmax-body = 3000\n' >"$conf"
check 2 'line 5: max-body stands in line 1 already'

# What a start would refuse, or could not use, the check refuses with the same words: of each the setting, what was
# expected, and what came.
echo 'here slots=x' >"$tmp/hostfile"
echo 'here slots=2' >"$tmp/hosts"
(umask 077 && : >"$state.key")
refused() { # TEXT OPTION...
    local how said
    for how in --check-config ''; do
        said=$("$builddir/distilld" --state "$state" --listen "$listen" "${@:2}" $how 2>&1)
        local status=$?
        [ $status -eq 2 ] && [[ $said == *"$1"* ]] || fail "${*:2} $how: status $status: $said"
        [ ! -e "$state" ] || fail "${*:2} $how has made the state folder"
    done
}
refused '--state: expected DIR, got nothing' --state ''
refused '--launch-agent: expected COMMAND, got nothing' --launch-agent ''
refused '--launch-agent: expected COMMAND, got only spaces' --launch-agent ' '
refused '--host: expected NAME, got nothing' --host ''
refused '--host: expected a name or an address alone, as train.example.org, got "http://x/"' --host http://x/
refused '--host: expected a name or an address alone, as train.example.org, got "x:80"' --host train --host x:80
refused '--webhook-network: expected ADDRESS or ADDRESS/BITS, as 10.0.0.0/8, got "bogus"' --webhook-network bogus
refused '--webhook-network: "10.0.0.0/99": the bits must be a number from 0 to 32' --webhook-network 10.0.0.0/99
refused '--data-root: expected an absolute path without a colon, got "rel"' --data-root rel
refused "--data-root: expected a folder, but $tmp/none: No such file" --data-root "$tmp/none"
refused "--data-root: expected a folder, $tmp/hosts is none" --data-root "$tmp/hosts"
refused '--worker: expected a program, /etc is no regular file' --worker /etc
refused "--worker: expected a program, but $tmp/none cannot be run" --worker "$tmp/none"
refused "--shim: expected a program, but $conf cannot be run" --shim "$conf"
refused '--lease 0: expected a number from 1 up' --lease 0
refused '--silence 0.5: expected a number from 1 up' --silence 0.5
refused '--network: expected ADDRESS or ADDRESS/BITS, as 10.0.0.0/8, got "garbage"' --network garbage
refused '--advertise: expected an IPv4 address of this host, got "garbage"' --advertise garbage
refused "--hostfile: open $tmp/none" --hostfile "$tmp/none" --advertise 127.0.0.1
refused "$tmp/hostfile:1: expected \`NAME slots=N\`" --hostfile "$tmp/hostfile" --advertise 127.0.0.1
refused '--hostfile needs --advertise' --hostfile "$tmp/hosts"
refused '--slots: --hostfile says how many' --hostfile "$tmp/hosts" --advertise 127.0.0.1 --slots 2
refused '--tls-certificate goes with --tls-key' --tls-certificate "$conf"
refused "--tls-certificate: open $tmp/none" --tls-certificate "$tmp/none" --tls-key "$state.key"
for good in '--host ::1 --host train.example.org' '--webhook-network 10.0.0.0/8' '--data-root /' '--network 10.0.0.0/8' \
    "--hostfile $tmp/hosts --advertise 127.0.0.1"; do
    # shellcheck disable=SC2086
    "$builddir/distilld" --state "$state" --check-config $good >"$tmp/said" 2>&1 || fail "$good: $(cat "$tmp/said")"
done

# -- Read again --
# A service manager's socket; what it is told stands in a line each.
manager='use Socket; socket(S, PF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die $!;
    $| = 1; while (defined recv(S, $m, 4096, 0)) { $m =~ tr/\n/ /; print "$m\n" }'
perl -e "$manager" "$tmp/notify" >"$tmp/told" 2>&1 &
at_end="kill $!"
listens() { [ -S "$tmp/notify" ]; }
within 10 listens || fail "nobody to tell: $(cat "$tmp/told")"
under=(env "NOTIFY_SOCKET=$tmp/notify")
printf 'max-body = 2000\nheader-timeout = 1\nadvertise = 127.0.0.1\nhost = a\n' >"$conf"
start_daemon --config "$conf"
under=()
told() { # PATTERN: of all that was told
    [[ $(tr '\n' ';' <"$tmp/told") =~ $1 ]]
}
within 10 told '^READY=1;$' || fail "told at the start: $(cat "$tmp/told")"
padded=$(job '.labels = ([range(15) | {key: "pad\(.)", value: ("x" * 200)}] | from_entries)')
post_job "$padded"
problem 413 too_large "more than the file allows"
reread() { # TEXT
    grep -qF "$1" "$tmp/daemon.log"
}
waits() { # SETTING...
    local s
    for s in "$@"; do
        within 10 reread "takes effect at the next start setting=$s" || fail "no word of a setting that waits: $s"
    done
}
# A setting on the command line stays, those that need a start are named, also one that is gone, and the others are taken.
printf 'max-body = 8000\nlog-level = warn\nheader-timeout = 60\nlease = 77\nhost = a\nhost = b\ndata-root = /\nwebhook-network = 10.0.0.0/8\n' >"$conf"
kill -HUP "$daemon"
waits lease host data-root webhook-network advertise
[ "$(grep -c 'takes effect at the next start' "$tmp/daemon.log")" = 5 ] || fail "settings that wait: $(cat "$tmp/daemon.log")"
within 10 told '^READY=1;RELOADING=1 MONOTONIC_USEC=[0-9]+;READY=1;$' || fail "told of a reload: $(cat "$tmp/told")"
post_job "$padded"
expect 202 "what the file allows now"
id=$(body .id)
reread "job accepted job=$id" && fail "log-level was not taken"
code=$(curl -sS --max-time 15 --unix-socket "$state/api.sock" -o "$tmp/body" -w '%{http_code}' -H 'Content-Type: application/json' \
    -d "$padded" http://localhost/api/v1/jobs)
[ "$code" = 202 ] || fail "what the file allows now, by the socket: $code $(cat "$tmp/body")"
# Longer than what the start allowed; nothing but a minute's silence would be too long now.
exec {slow}<>"/dev/tcp/$address"
printf 'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n' >&"$slow"
pause 5
printf '\r\n' >&"$slow"
read -r -t $((15 * PATIENCE)) -u "$slow" line
[[ $line == 'HTTP/1.1 200 '* ]] || fail "header-timeout was not taken: $line"
exec {slow}>&-
# A mistake changes nothing, whatever setting it is in.
mistake() { # LINE TEXT
    echo "$1" >"$conf"
    kill -HUP "$daemon"
    within 10 reread "the configuration stays as it was error=\"$2" || fail "no word of the mistake in $1"
    post_job "$padded"
    expect 202 "after a file with $1"
}
mistake 'max-body = many' "$conf"
mistake 'data-root = rel' '--data-root: expected an absolute path'
mistake 'webhook-network = bad' '--webhook-network: expected ADDRESS'
for id in $(get /api/v1/jobs '.items[].id'); do
    api POST "/api/v1/jobs/$id:cancel"
done
within 20 no_attempts || fail "attempts stay"
problems_are_whole
stop_daemon
told 'STOPPING=1;$' || fail "told at the end: $(cat "$tmp/told")"

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
