#!/bin/bash
# The API over TLS: who it is, is checked by clients; nothing goes in the clear, and what holds without TLS holds with
# it. The UNIX socket stays as it is.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v openssl >/dev/null || { echo "SKIP: openssl is not installed (Debian package openssl)"; exit 77; }

certify() { # NAME ADDRESS: NAME.key, and NAME.pem for ADDRESS
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$tmp/$1.key" -out "$tmp/$1.pem" \
        -days 2 -subj "/CN=$1" -addext "subjectAltName=IP:$2" 2>"$tmp/openssl" || fail "openssl: $(<"$tmp/openssl")"
}
certify here 127.0.0.1
certify elsewhere 127.0.0.2

# -- What cannot be used is told at the start --
refused() { # TEXT OPTION...
    local said status
    said=$("$builddir/distilld" --state "$state" --listen 127.0.0.1:0 "${@:2}" 2>&1)
    status=$?
    [ $status -eq 2 ] && [[ $said == *"$1"* ]] || fail "${*:2}: status $status: $said"
}
refused "--tls-certificate goes with --tls-key" --tls-certificate "$tmp/here.pem"
refused "--tls-key goes with --tls-certificate" --tls-key "$tmp/here.key"
refused "--tls-certificate: open $tmp/none" --tls-certificate "$tmp/none" --tls-key "$tmp/here.key"
refused "expected a file in PEM form" --tls-certificate "$tmp/openssl" --tls-key "$tmp/here.key"
refused "The certificate and the given key do not match" --tls-certificate "$tmp/here.pem" --tls-key "$tmp/elsewhere.key"
cp "$tmp/here.key" "$tmp/open.key"
chmod 644 "$tmp/open.key"
refused "everybody can read it" --tls-certificate "$tmp/here.pem" --tls-key "$tmp/open.key"

# -- Requests, streams, files --
start_daemon --tls-certificate "$tmp/here.pem" --tls-key "$tmp/here.key" --header-timeout 3
[[ $url == https://127.0.0.1:* ]] || fail "the address: $url"
tls=(--cacert "$tmp/here.pem")
curl_api GET /api/v1/version "${tls[@]}"
expect 200 "a request"
curl_api POST /api/v1/session "${tls[@]}"
expect 204 "a session"
header set-cookie
[[ "$value;" == *"; Secure;"* ]] || fail "cookie without Secure: $value"
listen_events "$tmp/events" "" "${tls[@]}"
stream=$!
remote() { # by the address, as from another machine
    "$builddir/distillctl" --server "$url" --token-file "$state/token" "$@"
}
id=$(job '.train.max_steps = 2' | remote --ca "$tmp/here.pem" submit - --wait 2>"$tmp/said") || fail "submit: $(<"$tmp/said")"
remote --ca "$tmp/here.pem" fetch "$id" student.safetensors -o "$tmp/got" >"$tmp/said" || fail "fetch: $(<"$tmp/said")"
cmp -s "$tmp/got/student.safetensors" "$state/jobs/$id/out/student.safetensors" || fail "a file is another one over TLS"
within 10 grep -qs '^event: end' "$tmp/events" || fail "the stream has no end: $(tail -n 3 "$tmp/events")"
[ "$(ctl list --json | jq -r '.items[0].id')" = "$id" ] || fail "the socket beside TLS"

# -- Whoever is not who it should be gets nothing, and says so --
for ca in "" "$tmp/elsewhere.pem"; do
    said=$(remote ${ca:+--ca "$ca"} list 2>&1)
    [ $? -eq 5 ] && [[ $said == *certificate* ]] || fail "a server that nobody vouches for${ca:+, with another CA}: $said"
done
said=$(remote --ca "$tmp/none" list 2>&1)
[ $? -eq 2 ] && [[ $said == *"--ca $tmp/none"* ]] || fail "a CA that is not there: $said"
code=$(curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "http://$address/healthz" 2>/dev/null)
[ "$code" = 000 ] || fail "an answer in the clear: $code"
curl -sS --max-time 5 --tlsv1.0 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "${tls[@]}" "$url/healthz" >"$tmp/said" 2>&1 && fail "TLS 1.1 is spoken"
# A connection that never says hello is ended, and disturbs nobody.
exec {mute}<>"/dev/tcp/127.0.0.1/${url##*:}"
curl_api GET /healthz "${tls[@]}"
expect 200 "beside a silent connection"
read -r -t $((10 * PATIENCE)) -u "$mute" line
[ $? -le 128 ] || fail "a silent connection is kept"
exec {mute}>&-

# -- SIGHUP: another pair counts for new connections; one that is broken changes nothing --
said() { grep -qF "$1" "$tmp/daemon.log"; }
cp "$tmp/here.pem" "$tmp/old.pem"
certify here 127.0.0.1
kill -HUP "$daemon"
within 10 said 'the certificate was read again' || fail "no word of another certificate"
curl_api GET /api/v1/version --cacert "$tmp/here.pem"
expect 200 "with the new certificate"
curl -sS --max-time 5 --cacert "$tmp/old.pem" "$url/healthz" >"$tmp/said" 2>&1 && fail "the old certificate is shown still"
kill -0 $stream || fail "a stream has ended with the old certificate"
cp "$tmp/elsewhere.key" "$tmp/here.key"
kill -HUP "$daemon"
within 10 said 'the configuration stays as it was error="--tls-certificate' || fail "no word of a broken pair"
curl_api GET /api/v1/version --cacert "$tmp/here.pem"
expect 200 "after a broken pair"

stop_daemon
wait $stream || fail "the stream was not closed properly"
[[ $(frames "$tmp/events" | tail -n 1) == '0 bye {"reason":"shutdown",'* ]] || fail "no bye: $(tail -n 3 "$tmp/events")"
