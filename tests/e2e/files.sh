#!/bin/bash
# Logs and artifacts: the bytes of the run directory, and nothing that lies elsewhere.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
submit '.train.epochs = 2 | .checkpoint = {every_steps: 4}'
wait_state "$id" succeeded
out=$state/jobs/$id/out
base=/api/v1/jobs/$id

# Artifacts are the files, byte for byte.
while read -r name size; do
    curl_api GET "$base/artifacts/${name/\//%2F}"
    expect 200 "$name"
    cmp -s "$tmp/body" "$out/$name" || fail "$name differs"
    [ "$(stat -c %s "$out/$name")" = "$size" ] || fail "size of $name"
    api HEAD "$base/artifacts/${name/\//%2F}"
    header content-length
    [ "$code $value $text" = "200 $size " ] || fail "HEAD $name: $code $value"
done < <(get "$base/artifacts" '.items[] | "\(.name) \(.size_bytes)"')
mkdir "$tmp/here"
for name in student.safetensors student.onnx checkpoints/step-000000008.safetensors; do
    path=$(ctl fetch "$id" $name -o "$tmp/here") || fail "fetch $name"
    cmp -s "$path" "$out/$name" || fail "fetch $name: other bytes"
done

# Things that a hostile job could put there, and addresses that try to leave.
rm -f "$out"/{best,class_means}.safetensors "$out/student.onnx"
echo secret >"$state/jobs/$id/secret"
ln -s ../secret "$out/best.safetensors"
ln -s ../../token "$out/checkpoints/link.safetensors"
ln -s "$state" "$out/checkpoints/state"
mkfifo "$out/class_means.safetensors"
mkdir "$out/student.onnx"
echo x >"$out/logs/rank-1.log.more"
echo half >"$out/checkpoints/x.tmp-1"
for name in best.safetensors class_means.safetensors student.onnx logs%2Frank-0.log logs .. . secret '..%2Fsecret' \
    '%2e%2e%2Fsecret' '..%2f..%2f..%2f..%2ftoken' 'checkpoints%2Flink.safetensors' 'checkpoints%2Fstate%2Ftoken' \
    'checkpoints%2F..%2F..%2Fsecret' 'checkpoints%2F..%2Flogs%2Frank-0.log' 'checkpoints%2F' checkpoints \
    'checkpoints%2F.' 'checkpoints%2F..' 'checkpoints%2Fx.tmp-1' '%2Fetc%2Fpasswd' '%2F%2Fetc%2Fpasswd' \
    'spec.json%2F' 'SPEC.JSON' 'spec.json%20' 'checkpoints%5C..' ../secret checkpoints/step-000000008.safetensors; do
    api GET "$base/artifacts/$name"
    problem 404 not_found "artifact $name"
    [[ $text != *secret$'\n'* && $text != *"$token"* ]] || fail "$name leads to a secret"
done
api GET "$base/artifacts/spec.json%00"
problem 400 bad_request "NUL in the name of an artifact"
for path in /../token /..%2ftoken /%2e%2e/token /vendor/..%2f..%2ftoken /vendor/%2e%2e%2findex.html /token /state.db; do
    http GET "$path"
    case $code in 401 | 404) ;; *) fail "$path: $code" ;; esac
done
names=$(get "$base/artifacts" '.items[].name')
! grep -E 'link|state|tmp-|best|class_means|onnx' <<<"$names" || fail "the list has what cannot be had"

# Metrics over time and epochs: by the ends of epochs, of those attempts whose steps counted in the end.
cp "$out/timing.jsonl" "$tmp/timing.jsonl"
{
    echo '{"event":"start","at":"2026-01-01T00:00:00.000Z","resumed_from":null}'
    echo '{"event":"epoch","at":"2026-01-01T00:00:10.000Z","step":2,"epoch":0,"seconds":4}'
    echo '{"event":"epoch","at":"2026-01-01T00:00:20.000Z","step":4,"epoch":1,"seconds":8}'
    echo '{"event":"start","at":"2026-01-01T01:00:00.000Z","resumed_from":3}'
    echo '{"event":"ep'
} >"$out/timing.jsonl"
curve() { # QUERY WANT
    api GET "$base/metrics/series?name=lr&from=1&to=4&$1"
    expect 200 "series, $1"
    [ "$(jq -c '[.series[0].points[][0]]' <<<"$text")" = "$2" ] || fail "series, $1: $text"
}
curve x=step '[1,2,3,4]'
curve agg=raw '[1,2,3,4]'
curve x=epoch '[0.5,1,1.5,2]'
t=$(date -d 2026-01-01T00:00:00Z +%s)
curve x=time "[$((t + 8)),$((t + 10)),$((t + 16)),null]"
api GET "$base/metrics/series?name=lr&from=3&to=4&x=time" 'Accept: text/csv'
[[ $text == name,split,time,value$'\r\n'lr,train,$((t + 16)).000,*$'\r\n'lr,train,,* ]] || fail "series over time as CSV: $text"
echo '{"event":"epoch","at":"2026-01-01T01:00:05.000Z","step":4,"epoch":1,"seconds":2}' >>"$out/timing.jsonl"
sed -i '/"ep$/d' "$out/timing.jsonl"
curve x=time "[$((t + 8)),$((t + 10)),$((t + 16)),$((t + 3605))]"
: >"$out/timing.jsonl"
api GET "$base/metrics/series?x=time"
problem 400 bad_request "times of a run without epochs"
[[ $text == *"there is: step"* ]] || fail "times of a run without epochs: $text"
for query in x=hours x= agg=lttb agg=; do
    api GET "$base/metrics/series?$query"
    problem 400 bad_request "series?$query"
done
[[ $text == *"minmax, raw"* ]] || fail "an unknown agg: $text"
api GET "$base/metrics/series?max_points=4&agg=raw&name=lr"
problem 400 bad_request "more points than may come"
api GET "$base/metrics/series" 'Accept: image/png'
problem 406 not_acceptable "series as a picture"
mv "$tmp/timing.jsonl" "$out/timing.jsonl"

# Logs.
printf 'one\ntwo\nthree\nfour' >"$out/logs/rank-1.log"
log() { # QUERY WANT END
    api GET "$base/logs?$1"
    expect 200 "logs?$1"
    [ "$text" = "$2" ] || fail "logs?$1: \"$text\""
    header log-end
    [ "$value" = "$3" ] || fail "logs?$1: Log-End $value"
}
log rank=1 $'one\ntwo\nthree\nfour' 18
log 'rank=1&tail=1' four 18
log 'rank=1&tail=2' $'three\nfour' 18
log 'rank=1&tail=4' $'one\ntwo\nthree\nfour' 18
log 'rank=1&tail=99' $'one\ntwo\nthree\nfour' 18
log 'rank=1&tail=0' '' 18
log 'rank=1&from=4' $'two\nthree\nfour' 18
log 'rank=1&from=18' '' 18
log 'rank=1&from=999' $'one\ntwo\nthree\nfour' 18 # it began anew
echo >>"$out/logs/rank-1.log"
log 'rank=1&from=18' $'\n' 19
log 'rank=1&tail=1' $'four\n' 19
log 'rank=1&tail=2' $'three\nfour\n' 19
api GET "$base/logs"
cmp -s <(printf '%s' "$text") "$out/logs/rank-0.log" || fail "the log of rank 0 differs"
[ "$(ctl logs "$id" --rank 1 --tail 1)" = four ] || fail "distillctl logs"
# A part of what is selected; of a log that is at rest it goes on where it ended.
part() { # QUERY RANGE WANT CONTENT-RANGE
    curl_api GET "$base/logs?$1" -H "Range: bytes=$2" "${@:5}"
    expect 206 "logs?$1, $2"
    [ "$(od -An -c "$tmp/body")" = "$(printf '%s' "$3" | od -An -c)" ] || fail "logs?$1, $2: $text"
    header content-range
    [ "$value" = "bytes $4" ] || fail "logs?$1, $2: $value"
}
rested() {
    api GET "$base/logs?rank=1"
    header etag
    [ -n "$value" ]
}
within 5 rested || fail "a log that is at rest has no tag"
tag=$value
part rank=1 0-2 one 0-2/19
part 'rank=1&from=4' 0-2 two 0-2/15
part 'rank=1&tail=1' -3 $'ur\n' 2-4/5
part rank=1 4- $'two\nthree\nfour\n' 4-18/19 -H "If-Range: $tag"
header log-end
[ "$value" = 19 ] || fail "a part: Log-End $value"
api GET "$base/logs?rank=1" "Range: bytes=4-" 'If-Range: "other"'
[ "$code$text" = $'200one\ntwo\nthree\nfour\n' ] || fail "a part of another log: $code $text"
api GET "$base/logs?rank=1" "If-None-Match: $tag"
expect 304 "a log that is there already"
api GET "$base/logs?rank=1" "Range: bytes=19-"
problem 416 range_not_satisfiable "behind the end of a log"
header content-range
[ "$value" = "bytes */19" ] || fail "behind the end of a log: $value"
# Lines with a text, as it is written; behind the last line that is whole.
printf 'a.b\naxb\nA.B\nlast a.b' >"$out/logs/rank-1.log"
log 'rank=1&grep=a.b' $'a.b\nlast a.b\n' 20
log 'rank=1&grep=a.b&tail=1' $'last a.b\n' 20
log 'rank=1&grep=a.b&from=4' $'last a.b\n' 20
log 'rank=1&grep=%5Ba' '' 20
# Many at a time: they wait for each other, and all are answered, as many as one token may have.
curl_api GET "$base/logs?rank=1&grep=xb&tail=[1-10]" --parallel --parallel-immediate --parallel-max 10 2>/dev/null
[ "$code" = "$(printf '200%.0s' {1..10})" ] || fail "searches in logs at a time: $code"
[ "$(ctl logs "$id" --rank 1 --grep 'xb')" = axb ] || fail "distillctl logs --grep"
# Since a time, by what was noted of the log's length.
printf '%s000 4\n%s000 8\n' 1700000000 1700000100 >"$out/logs/rank-1.times"
log 'rank=1&since=2023-11-14T22:13:19Z' $'a.b\naxb\nA.B\nlast a.b' 20
log 'rank=1&since=2023-11-14T22:13:20Z' $'axb\nA.B\nlast a.b' 20
log 'rank=1&since=2023-11-14T23:15:00%2B01:00' $'A.B\nlast a.b' 20
log 'rank=1&since=2023-11-14T22:13:20Z&grep=xb' $'axb\n' 20
log 'rank=1&since=2023-11-14T22:13:20Z&tail=1' 'last a.b' 20
log 'rank=1&since=2999-01-01T00:00:00Z' '' 20
log 'rank=1&since=1970-01-01T00:00:00Z' $'a.b\naxb\nA.B\nlast a.b' 20
[ "$(ctl logs "$id" --rank 1 --since 10m)" = $'A.B\nlast a.b' ] || fail "distillctl logs --since: $(ctl logs "$id" --rank 1 --since 10m)"
# Lines for programs, with the time at which each was seen whole.
lines() { # QUERY WANT
    api GET "$base/logs?$1" 'Accept: application/x-ndjson'
    expect 200 "lines, $1"
    header content-type
    [ "$value" = application/x-ndjson ] || fail "lines, $1: $value"
    [ "$(jq -cr '[.ts, .rank, .stream, .line] | map(. // "-") | join(" ")' <<<"$text")" = "$2" ] || fail "lines, $1: $text"
}
t0=2023-11-14T22:13:20.000Z t1=2023-11-14T22:15:00.000Z
lines rank=1 "$t0 1 stderr a.b"$'\n'"$t1 1 stderr axb"$'\n'"- 1 stderr A.B"$'\n'"- 1 stderr last a.b"
lines 'rank=1&tail=2' $'- 1 stderr A.B\n- 1 stderr last a.b'
lines 'rank=1&grep=a.b&from=0' "$t0 1 stderr a.b"$'\n'"- 1 stderr last a.b"
lines 'rank=1&tail=0' ''
[ "$(body .line)" = '' ] || fail "no lines: $text"
printf 'old a.b\n' >"$out/logs/rank-1.log.1"
lines 'rank=1&grep=a.b' "- 1 stderr old a.b"$'\n'"$t0 1 stderr a.b"$'\n'"- 1 stderr last a.b"
rm "$out/logs/rank-1.log.1"
api GET "$base/logs?tail=1" 'Accept: application/x-ndjson'
[ "$(body .line)" = "$(tail -n 1 "$out/logs/rank-0.log")" ] && [[ $(body '"\(.ts) \(.rank) \(.stream)"') == 20*Z\ 0\ null ]] ||
    fail "the last line of a job: $text"
printf 'a\0"\\\xff\t\n\n' >"$out/logs/rank-1.log"
api GET "$base/logs?rank=1" 'Accept: application/x-ndjson'
[ "$(jq -c .line <<<"$text")" = '"a?\"\\?\t"'$'\n''""' ] || fail "odd bytes: $text"
printf 'a.b\naxb\nA.B\nlast a.b' >"$out/logs/rank-1.log"
for type in text/event-stream image/png 'text/plain;q=0' ; do
    api GET "$base/logs?rank=1" "Accept: $type"
    problem 406 not_acceptable "a log as $type"
    [[ $text == *"application/x-ndjson"* ]] || fail "a log as $type: $text"
done
api GET "$base/logs?rank=1" 'Accept: image/png' 'Accept: text/plain'
expect 200 "a header Accept in two lines"
for type in 'text/*' '*/*' 'text/event-stream, text/plain;q=0.1' ''; do
    api GET "$base/logs?rank=1" "Accept: $type"
    header content-type
    [[ $code == 200 && $value == text/plain* ]] || fail "a log as $type: $code $value"
done
# What came before the log began anew: since then, or with a text; not from a byte of the log.
printf 'old a.b\nold\n' >"$out/logs/rank-1.log.1"
log 'rank=1&grep=a.b' $'old a.b\na.b\nlast a.b\n' 20
log 'rank=1&grep=a.b&tail=2' $'a.b\nlast a.b\n' 20
log 'rank=1&grep=a.b&from=0' $'a.b\nlast a.b\n' 20
log 'rank=1&since=1970-01-01T00:00:00Z' $'old a.b\nold\na.b\naxb\nA.B\nlast a.b\n' 20
log 'rank=1&since=1970-01-01T00:00:00Z&tail=5' $'old\na.b\naxb\nA.B\nlast a.b\n' 20
log 'rank=1&since=1970-01-01T00:00:00Z&grep=old' $'old a.b\nold\n' 20
log 'rank=1&since=2023-11-14T22:13:20Z&grep=a.b' $'last a.b\n' 20
touch -d 2023-11-14T00:00:00Z "$out/logs/rank-1.log.1"
log 'rank=1&since=2023-11-14T22:13:19Z' $'a.b\naxb\nA.B\nlast a.b' 20
log 'rank=1&tail=9' $'a.b\naxb\nA.B\nlast a.b' 20
rm "$out/logs/rank-1.log.1"
rm "$out/logs/rank-1.times"
[ -s "$out/logs/rank-0.times" ] || fail "nobody has noted when the log was written"
seq 100000 >"$out/logs/rank-1.log"
for n in 1 200 11000 65536 100000; do
    curl_api GET "$base/logs?rank=1&tail=$n"
    cmp -s "$tmp/body" <(tail -n $n "$out/logs/rank-1.log") || fail "tail=$n of a long log"
done
rm "$out/logs/rank-1.log"
log rank=1 '' 0
ln -s "$state/token" "$out/logs/rank-1.log"
log rank=1 '' 0
seq 3 >"$out/logs/rank-10.log" # of an attempt that had more ranks
log rank=10 $'1\n2\n3\n' 6
api GET "$base/logs?rank=2"
problem 404 not_found "logs?rank=2"
[[ $text == *"no log of rank 2; there are logs of: 0, 1, 10"* ]] || fail "logs?rank=2: $text"
for query in rank=-1 rank=x rank= tail=-1 tail=1000001 tail=x from=-1 'rank=0%00' since=10m since= since=2026-02-31T00:00:00Z grep= 'grep=a%0Ab' \
    "grep=$(printf 'x%.0s' {1..257})"; do
    api GET "$base/logs?$query"
    problem 400 bad_request "logs?$query"
done
# A folder that is a link is none.
mv "$out/checkpoints" "$tmp/checkpoints"
ln -s "$tmp/checkpoints" "$out/checkpoints"
! get "$base/artifacts" '.items[].name' | grep checkpoints || fail "the list goes through a link"
mv "$out" "$tmp/out"
ln -s "$tmp/out" "$out"
api GET "$base/artifacts/spec.json"
problem 404 not_found "a run directory that is a link"

# What is removed is gone, with all that it has, but not with what it points to.
touch "$state/address.tmp-77" -d '2 days ago'
[[ $(ctl gc --dry-run) == *"temporary"*"address.tmp-77"*"1 to be removed"* ]] || fail "gc --dry-run: $(ctl gc --dry-run)"
[[ $(ctl gc) == *"1 removed"*"0 failed"* && ! -e $state/address.tmp-77 ]] || fail "gc"
[[ $(ctl rm "$id") == "$id succeeded" ]] || fail "rm"
api GET "$base"
problem 410 gone "a job that was removed"
! ctl show "$id" 2>"$tmp/said" || fail "show of a job that was removed"
grep -q 'was removed at' "$tmp/said" || fail "show says: $(cat "$tmp/said")"
is_clear() {
    [ ! -e "$state/jobs/$id" ]
}
within 5 is_clear || fail "the folder of the job stays"
[ -s "$tmp/out/spec.json" ] || fail "a link was followed"
problems_are_whole
stop_daemon
