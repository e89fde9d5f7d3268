#!/bin/bash
# Uploads in pieces: what has come is kept through broken connections and kill -9 of the daemon, and what is
# taken for the file has its hash.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
json='Content-Type: application/json'
begin() { # SIZE [SHA256]
    local payload="{\"size_bytes\":$1${2:+,\"sha256\":\"$2\"}}"
    api POST /api/v1/uploads "$json"
}
piece() { # ID OFFSET FILE
    curl_api PATCH "/api/v1/uploads/$1" -H 'Content-Type: application/partial-upload' -H "Upload-Offset: $2" --data-binary "@$3"
}
offset_is() { # ID OFFSET
    api HEAD "/api/v1/uploads/$1"
    header upload-offset
    [ "$code $value" = "200 $2" ]
}
sha() { # FILE
    sha256sum <"$1" | cut -c 1-64
}
head -c 300000 /dev/urandom >"$tmp/file"
head -c 100000 "$tmp/file" >"$tmp/first"
tail -c +100001 "$tmp/file" >"$tmp/rest"
hash=$(sha "$tmp/file")

# -- Piece by piece --
begin 300000 "$hash"
expect 201 "beginning"
id=$(body .id)
header location
[ "$value" = "/api/v1/uploads/$id" ] || fail "Location: $value"
header upload-complete
[ "$value" = '?0' ] || fail "Upload-Complete: $value"
begin 300000 "$hash"
expect 200 "the same once more"
[ "$(body .id)" = "$id" ] || fail "the same content begins another upload: $text"
piece "$id" 0 "$tmp/first"
expect 204 "the first piece"
header upload-offset
[ "$value" = 100000 ] || fail "Upload-Offset $value"
offset_is "$id" 100000 || fail "the offset: $code $value"
piece "$id" 5 "$tmp/rest"
problem 409 conflict "a piece for another place"
header upload-offset
[ "$value" = 100000 ] || fail "Upload-Offset of a refusal: $value"
piece "$id" 100000 "$tmp/file"
problem 413 too_large "more than the file has"
offset_is "$id" 100000 || fail "a piece that is too large is taken: $value"
stop_daemon
start_daemon
piece "$id" 100000 "$tmp/rest"
expect 200 "the last piece, after a restart"
[ "$(body '"\(.complete) \(.sha256)"')" = "true $hash" ] || fail "the end: $text"
cmp "$state/blobs/$hash" "$tmp/file" || fail "the blob has other bytes"
[ -z "$(ls "$state/uploads")" ] || fail "a part is left: $(ls "$state/uploads")"
piece "$id" 300000 /dev/null
problem 409 conflict "a piece of what is complete"

# -- Without a hash it is told; with the wrong one nothing is taken --
begin 100000
id=$(body .id)
piece "$id" 0 "$tmp/first"
[ "$code $(body .sha256)" = "200 $(sha "$tmp/first")" ] || fail "the hash of a file: $text"
api DELETE "/api/v1/uploads/$id"
expect 204 "giving up"
[ ! -e "$state/blobs/$(sha "$tmp/first")" ] || fail "nobody refers to the file, and it is there"
begin 100000 "$hash"
id=$(body .id)
piece "$id" 0 "$tmp/first"
problem 422 bad_data "another hash"
[[ $text == *"$hash"* && $text == *"$(sha "$tmp/first")"* ]] || fail "both hashes: $text"
api GET "/api/v1/uploads/$id"
problem 404 not_found "an upload of wrong bytes"

# -- A connection that breaks, and one that is taken over --
send_half() { # ID: 40000 of 100000 announced bytes; the connection is in $half
    exec {half}<>"/dev/tcp/$address"
    printf 'PATCH /api/v1/uploads/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 0\r\nContent-Length: 100000\r\n\r\n' \
        "$1" "$token" >&"$half"
    head -c 40000 "$tmp/first" >&"$half"
}
begin 100000
id=$(body .id)
send_half "$id"
within 10 offset_is "$id" 40000 || fail "what came so far: $value"
exec {half}>&-
tail -c +40001 "$tmp/first" >"$tmp/more"
piece "$id" 40000 "$tmp/more"
[ "$code $(body .sha256)" = "200 $(sha "$tmp/first")" ] || fail "after a broken connection: $code $text"
api DELETE "/api/v1/uploads/$id"
begin 100000
id=$(body .id)
send_half "$id"
within 10 offset_is "$id" 40000 || fail "what came so far: $value"
piece "$id" 40000 "$tmp/more"
expect 200 "a later request takes over"
head -c 60000 /dev/zero >&"$half" 2>/dev/null
exec {half}>&-
[ "$(body .sha256)" = "$(sha "$tmp/first")" ] || fail "taken over: other bytes"

# -- kill -9 in the middle of it --
begin 100000 "$(printf 'b%.0s' {1..64})"
id=$(body .id)
send_half "$id"
within 10 offset_is "$id" 40000 || fail "what came so far: $value"
kill_daemon
exec {half}>&-
start_daemon
offset_is "$id" 40000 || fail "after kill -9: $code $value"
api DELETE "/api/v1/uploads/$id"

# The client goes on by itself, through a daemon that dies again and again under another address each time.
large() { # BYTES: no model, whatever they are: one byte in 256 would let them pass for a broken safetensors file
    { echo "not a model"; head -c $(($1 - 12)) /dev/urandom; } >"$tmp/large"
}
large 50000000
listen=127.0.0.1:0
# The parts that are there, in $size.
sizes() {
    local one
    size=0
    for one in $(stat -c %s "$state"/uploads/upl_* 2>/dev/null); do
        size=$((size + one))
    done
}
grown() {
    sizes
    [ "$size" -gt "$1" ] || ! kill -0 "$client" 2>/dev/null
}
# Asked often: a fast machine takes all of it between two of lib.sh's looks.
begins() { # BYTES
    local end=$((SECONDS + 30 * PATIENCE))
    until grown "$1"; do
        [ $SECONDS -le $end ] || fail "no upload begins"
        pause 0.005
    done
}
ctl models add large "$tmp/large" --set architecture=resnet8 >"$tmp/out" 2>"$tmp/err" &
client=$!
for bytes in 0 20000000; do
    begins $bytes
    kill -0 $client 2>/dev/null || fail "the client has ended: $(cat "$tmp/err")"
    kill_daemon
    start_daemon
done
wait $client && fail "random bytes are a model"
grep -q 'neither safetensors' "$tmp/err" || fail "the client: $(cat "$tmp/err")"
cmp "$state/blobs/$(sha "$tmp/large")" "$tmp/large" || fail "the upload has other bytes"
# A client that was killed: the next one goes on.
large 30000000
"$builddir/distillctl" --state "$state" models add large "$tmp/large" >"$tmp/out" 2>"$tmp/err" &
client=$!
begins 0
kill -9 $client 2>/dev/null
wait $client 2>/dev/null
if [ -n "$(ls "$state/uploads")" ]; then
    sizes
    ctl models add large "$tmp/large" >"$tmp/out" 2>"$tmp/err" && fail "random bytes are a model"
    [ "$size" -ge 30000000 ] || grep -q 'going on after' "$tmp/err" || fail "it did not go on: $(cat "$tmp/err")"
fi
cmp "$state/blobs/$(sha "$tmp/large")" "$tmp/large" || fail "the upload has other bytes"

# -- A disk that refuses: nothing is taken, and the upload goes on where it was --
stop_daemon
listen=127.0.0.1:0
DISTILLD_FAULT=io:rename:2+ start_daemon # the first is that of the address
head -c 50000 /dev/urandom >"$tmp/refused"
begin 50000 "$(sha "$tmp/refused")"
id=$(body .id)
piece "$id" 0 "$tmp/refused"
problem 503 io "a rename that fails"
[ ! -e "$state/blobs/$(sha "$tmp/refused")" ] || fail "a refused file is there"
api GET "/api/v1/uploads/$id"
[ "$code $(body .complete)" = "200 false" ] || fail "the upload after a refusal: $code $text"
stop_daemon
DISTILLD_FAULT=io:write:3 start_daemon
begin 50000 "$(sha "$tmp/refused")"
piece "$(body .id)" "$(body .offset)" "$tmp/refused"
[ "$code" = 503 ] || fail "a write that fails: $code $text"
begin 50000 "$(sha "$tmp/refused")"
id=$(body .id) offset=$(body .offset)
tail -c +$((offset + 1)) "$tmp/refused" >"$tmp/more"
piece "$id" "$offset" "$tmp/more"
[ "$code $(body .sha256)" = "200 $(sha "$tmp/refused")" ] || fail "after the refusals: $code $text"
stop_daemon
start_daemon

# -- Bad requests, and limits --
for body in '{}' '{"size_bytes":0}' '{"size_bytes":-1}' '{"size_bytes":"1"}' '{"size_bytes":1,"sha256":"x"}' '{"size_bytes":1,"x":1}' '[]'; do
    payload=$body
    api POST /api/v1/uploads "$json"
    problem 422 invalid "an upload $body"
done
payload=
api GET /api/v1/uploads/..%2F..%2Ftoken
problem 404 not_found "an id that is a path"
begin 10
id=$(body .id)
for header in 'Upload-Offset: x' 'Upload-Offset: -1' 'Upload-Offset: 99999999999999999999' 'X: y'; do
    curl_api PATCH "/api/v1/uploads/$id" -H 'Content-Type: application/partial-upload' -H "$header" --data-binary x
    problem 400 bad_request "$header"
done
curl_api PATCH "/api/v1/uploads/$id" -H 'Content-Type: application/octet-stream' -H 'Upload-Offset: 0' --data-binary x
problem 415 unsupported_media_type "another type"
token=wrong
piece "$id" 0 "$tmp/first"
expect 401 "a piece without the token"
token=$(cat "$state/token")
begin 900000000000000
[ "$code" = 413 ] || fail "an enormous upload: $code $text"
begin 68000000000
case $code in
201) [ "$(df -B1 --output=avail "$state" | tail -1)" -gt 68000000000 ] || fail "more than the disk has is promised" ;;
503) problem 503 io "more than the disk has" ;;
*) fail "more than the disk has: $code $text" ;;
esac
for ((i = 0; i < 70; i++)); do
    begin 5
    [ "$code" = 201 ] || break
done
problem 409 conflict "too many uploads"
[ "$(ls "$state/uploads" | wc -l)" -le 64 ] || fail "parts: $(ls "$state/uploads")"
stop_daemon
start_daemon --max-upload 1000
begin 1001
problem 413 too_large "more than --max-upload"
problems_are_whole
stop_daemon
