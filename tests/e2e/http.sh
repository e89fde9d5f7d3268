#!/bin/bash
# What HTTP offers to clients: answers they have already, parts of files, and limits with a reason.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon --header-timeout 2 --body-timeout 2
submit '.train.max_steps = 2 | .checkpoint = {every_steps: 1}'
wait_state "$id" succeeded
base=/api/v1/jobs/$id
out=$state/jobs/$id/out
pause 0.1 # a file that was written just now has no tag

# -- Conditional requests --
tag() { # PATH
    api GET "$1"
    expect 200 "$1"
    header etag
    [[ $value =~ ^\"[^\"]+\"$ ]] || fail "$1: no strong ETag: $value"
}
for path in "$base" /api/v1/jobs /api/v1/catalog /api/v1/version "$base/artifacts" "$base/artifacts/metrics.jsonl" \
    "$base/metrics/series" "$base/attempts" "$base/events" / /main.js; do
    tag "$path"
    etag=$value whole=$text
    for list in "$etag" "W/$etag" '*' "\"x\", $etag"; do
        api GET "$path" "If-None-Match: $list"
        expect 304 "$path: If-None-Match: $list"
        header etag
        [ "$value" = "$etag" ] && [ -z "$text" ] || fail "304 of $path: $value: $text"
        header content-length # if there is one, it is that of the body which is left out
        [ -z "$value" ] || [ "$value" = ${#whole} ] || fail "304 of $path: Content-Length $value, not ${#whole}"
    done
    api GET "$path" 'If-None-Match: "x"' "If-None-Match: $etag" 'If-None-Match: "y"'
    expect 304 "$path: If-None-Match in three lines"
    api GET "$path" 'If-None-Match: "x"'
    [ "$code" = 200 ] && [ "$text" = "$whole" ] || fail "$path: another tag: $code"
done
tag "$base"
etag=$value
payload='{"name": "renamed"}' api PATCH "$base" 'Content-Type: application/json' 'If-Match: "x"' 'If-Match: "y"'
problem 412 precondition_failed "If-Match in two lines, of other states"
payload='{"name": "renamed"}' api PATCH "$base" 'Content-Type: application/json' 'If-Match: "x"' "If-Match: $etag"
expect 200 "If-Match in two lines"
tag "$base"
etag=$value
tag /api/v1/jobs
list=$value
stop_daemon
start_daemon --header-timeout 2 --body-timeout 2
listen_events "$tmp/living" "" # for its heartbeat
since=$SECONDS
api GET "$base" "If-None-Match: $etag"
expect 304 "a tag from before a restart"
api POST "$base:cancel" "If-None-Match: *"
problem 409 conflict "a condition on something else than reading"
submit '.train.max_steps = 1 | .hold = true'
api GET /api/v1/jobs "If-None-Match: $list"
expect 200 "the list has changed"
# Every visible change of a job has another tag.
tag "/api/v1/jobs/$id"
etag=$value
verb "$id" release
wait_state "$id" succeeded
api GET "/api/v1/jobs/$id" "If-None-Match: $etag"
expect 200 "the job has changed"
tag "$base/artifacts/metrics.jsonl"
etag=$value
printf x >>"$out/metrics.jsonl"
api GET "$base/artifacts/metrics.jsonl" "If-None-Match: $etag"
expect 200 "the file has changed"

# -- Parts of a file --
file=$out/student.safetensors path=$base/artifacts/student.safetensors
size=$(stat -c %s "$file")
part() { # RANGE FIRST COUNT
    curl_api GET "$path" -H "Range: $1"
    expect 206 "$1"
    header content-range
    [ "$value" = "bytes $2-$(($2 + $3 - 1))/$size" ] || fail "$1: Content-Range $value"
    header content-length
    [ "$value" = "$3" ] || fail "$1: Content-Length $value"
    cmp -s "$tmp/body" <(tail -c +$(($2 + 1)) "$file" | head -c "$3") || fail "$1: other bytes"
}
part bytes=0-0 0 1
part bytes=100-299 100 200
part bytes=1000- 1000 $((size - 1000))
part bytes=-17 $((size - 17)) 17
part "bytes=5-$((size * 2))" 5 $((size - 5))
for range in "bytes=$size-" bytes=-0; do
    curl_api GET "$path" -H "Range: $range"
    problem 416 range_not_satisfiable "$range"
    header content-range
    [ "$value" = "bytes */$size" ] || fail "$range: Content-Range $value"
done
for range in bytes=3-1 bytes=0-1,5-6 lines=1-2 bytes=x; do
    curl_api GET "$path" -H "Range: $range"
    expect 200 "$range is ignored"
    cmp -s "$tmp/body" "$file" || fail "$range: not the whole file"
done
header accept-ranges
[ "$value" = bytes ] || fail "Accept-Ranges: $value"
header etag
etag=$value
curl_api GET "$path" -H "Range: bytes=0-9" -H "If-Range: $etag"
expect 206 "If-Range with its tag"
for other in '"x"' 'Wed, 21 Oct 2026 07:28:00 GMT' "W/$etag"; do
    curl_api GET "$path" -H "Range: bytes=0-9" -H "If-Range: $other"
    expect 200 "If-Range: $other"
done
curl_api GET "$path" -H "Range: bytes=0-9" -H "If-None-Match: $etag"
expect 304 "the condition comes before the range"
api HEAD "$path" "Range: bytes=0-9"
header content-length
[ "$code $value" = "200 $size" ] || fail "HEAD with Range: $code $value"

# -- Limits --
letters() { # N
    head -c "$1" /dev/zero | tr '\0' a
}
api GET "/api/v1/jobs?name=$(letters 8100)"
expect 200 "an address that fits"
api GET "/api/v1/jobs?name=$(letters 8200)"
problem 414 uri_too_long "a long query"
api GET "/$(letters 9000)"
problem 414 uri_too_long "a long path"
api GET /healthz "X-Large: $(letters 15000)"
expect 200 "headers that fit"
api GET /healthz "X-Large: $(letters 16500)"
problem 431 headers_too_large "large headers"
api GET /healthz "X-Large: $(letters 100000)"
expect 431 "enormous headers"
api GET "/$(letters 100000)"
expect 414 "an enormous address"
head -c 6000000 /dev/zero >"$tmp/large"
curl_api POST /api/v1/jobs -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
    --data-binary "@$tmp/large"
problem 413 too_large "6 MB in chunks"

# -- Parameters and expectations --
while read -r query name; do
    api GET "/api/v1/jobs?$query"
    problem 400 bad_request "?$query"
    [[ $text == *"\"detail\":\"$name: expected percent-escapes"* ]] || fail "?$query: $text"
done <<'T'
project=%zz project
name=% name
name=%4 name
name=a&project=%G0 project
%zz=1 %zz
name=%00 name
q=%ff q
q=%c0%80 q
q=a%1b%5b2J q
T
api GET "/api/v1/jobs?q=%c3%a4%09"
expect 200 "UTF-8, and a tab"
api GET "/api/v1/jobs?name=%e%32%65"
problem 400 bad_request "an escape of another letter"
api GET "/api/v1/jobs?name=%65%32%65"
expect 200 "escapes"
curl_api POST "/api/v1/queue:simulate?x=%zz" -H 'Content-Type: application/json' --data-binary '{}'
problem 400 bad_request "a parameter beside a body"
for twice in "Authorization: Bearer $token" 'Idempotency-Key: "a"'; do
    api GET /api/v1/jobs "$twice" "${twice%%:*}: x"
    problem 400 bad_request "$twice, twice"
    [[ $text == *"expected one header ${twice%%:*}, got "* ]] || fail "$twice, twice: $text"
done
curl_api POST "/api/v1/queue:simulate" -H 'Content-Type: application/json' -H 'Content-Encoding: gzip' --data-binary "$(job)"
problem 415 unsupported_media_type "a body that is coded"
api POST "/api/v1/queue:simulate" 'Content-Type: application/json' 'Content-Encoding: identity' 'Content-Encoding: gzip'
problem 415 unsupported_media_type "a body that is coded, in the second of two headers"
curl_api POST "/api/v1/queue:simulate" -H 'Content-Type: application/json' -H 'Content-Encoding: identity' --data-binary "$(job)"
expect 200 "a body as it is"
for expect in foo 100-continued '100-continue, foo'; do
    api GET /api/v1/jobs "Expect: $expect"
    problem 417 expectation_failed "Expect: $expect"
done
curl_api POST "/api/v1/queue:simulate" -H 'Content-Type: application/json' -H 'Expect: 100-CONTINUE' --data-binary "$(job)"
expect 200 "Expect: 100-CONTINUE"

# -- Names of requests: the client's, if a log can take it; else one that no other request has --
named() { # STATUS METHOD PATH [HEADER]...
    local given=()
    [ -z "$name" ] || given=("X-Request-Id: $name")
    http "$2" "$3" "${given[@]}" "${@:4}"
    expect "$1" "$2 $3"
    header x-request-id
    [ -z "$text" ] || [ "$1" -lt 400 ] || [[ $text == *"\"instance\":\"$value\""* ]] || fail "$2 $3 has the id $value: $text"
}
all_named() { # CHECK, for each kind of answer
    local auth="Authorization: Bearer $token"
    while read -r line; do
        # shellcheck disable=SC2086
        named $line "$auth"
        "$1" "$line"
    done <<<"200 GET /healthz
200 GET /api/v1/jobs
200 HEAD /api/v1/jobs
200 HEAD /api/v1/events
206 GET $base/artifacts/metrics.jsonl Range:bytes=0-0
404 GET /api/v1/nothing
405 PUT /api/v1/jobs
413 GET /api/v1/jobs Content-Length:2000000
414 GET /$(letters 9000)
415 POST /api/v1/jobs
400 GET /api/v1/jobs Host:localhost"
    named 401 GET /api/v1/jobs
    "$1" 401
}
is_ours() {
    [ "$value" = "$name" ] || fail "$1: the id $value, not $name"
}
is_new() {
    [[ $value =~ ^[0-9a-f]{16}$ && $seen != *" $value "* ]] || fail "$1: the id $value, after$seen"
    seen+="$value "
}
seen=' '
for name in mine-1 A.b_c "$(letters 64)"; do all_named is_ours; done
for name in '' 'no good' 'a"b' "$(letters 65)" $'\xff'; do all_named is_new; done

# A client may take its time with an answer, longer than silence lasts elsewhere.
large=$out/student.onnx
head -c 30000000 /dev/zero >"$large"
exec {slow}<>"/dev/tcp/$address"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n' \
    "$base/artifacts/student.onnx" "$token" >&"$slow"
slept=$SECONDS

# A request that drips is ended, in its headers and in its body; one that is done in time is not.
drip() { # TEXT: the status of the answer in $code; sends a byte every half second
    local fd line='' part whole
    exec {fd}<>"/dev/tcp/$address"
    printf '%s' "$1" >&"$fd"
    for _ in {1..60}; do
        read -r -t 0.5 -u "$fd" part && whole=1 || whole= # in time, or as much as came
        line+=$part
        if [ -n "$whole" ]; then
            code=${line#* }
            break
        fi
        printf x >&"$fd" 2>/dev/null || break
    done
    exec {fd}>&-
}
code=none
drip $'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Drip: '
[[ $code == 408* ]] || fail "a header that drips: $code"
code=none
drip $'POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{'
[[ $code == 408* ]] || fail "a body that drips: $code"
# Silence, too, is answered when the time for a body is over.
exec {fd}<>"/dev/tcp/$address"
printf 'POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{' >&"$fd"
read -r -t 20 -u "$fd" line
exec {fd}>&-
[[ $line == *\ 408* ]] || fail "a body that stops: $line"
while [ $((SECONDS - slept)) -le 8 ]; do pause 0.5; done
got=$(wc -c <&"$slow")
[ "$got" -gt 30000000 ] || fail "a slow reader got $got bytes of $(stat -c %s "$large")"
exec {slow}>&-
within 20 grep -q '^event: hb' "$tmp/living" || fail "no heartbeat in $((SECONDS - since)) s: $(cat "$tmp/living")"
stop_daemon

# -- Connections of one address --
start_daemon --connections-per-address 3
fds=()
for _ in 1 2 3; do
    exec {fd}<>"/dev/tcp/$address"
    fds+=("$fd")
done
refused() {
    http GET /healthz
    [ "$code" = 429 ]
}
within 5 refused || fail "a fourth connection: $code"
problem 429 too_many_connections "a fourth connection"
header x-request-id
[ -n "$value" ] && [[ $text == *'"retryable":true'* ]] || fail "a fourth connection: $head$text"
for fd in "${fds[@]}"; do
    exec {fd}>&-
done
served() {
    http GET /healthz
    [ "$code" = 200 ]
}
within 5 served || fail "connections that were closed still count: $code"

# -- The end --
listen_events "$tmp/stream" ""
reader=$!
has_snapshot() {
    grep -qs 'event: snapshot' "$tmp/stream"
}
within 10 has_snapshot || fail "no snapshot"
stop_daemon
wait "$reader" || fail "the stream broke off"
[[ $(frames "$tmp/stream" | tail -n 1) == '0 bye {"reason":"shutdown",'* ]] || fail "no bye: $(tail -n 3 "$tmp/stream")"
problems_are_whole

# -- The file of settings --
printf 'slots = 2\nslotz = 3\n' >"$tmp/distilld.conf"
said=$("$builddir/distilld" --config "$tmp/distilld.conf" 2>&1) && fail "a wrong name of a setting is accepted"
[[ $said == *"$tmp/distilld.conf: line 2"* ]] || fail "a wrong setting: $said"
