#!/bin/bash
# From submission to result: what a user is told on the way, and what is there at the end.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
listen_events "$tmp/all" ""
stream=$!
within 20 grep -qs '^event: snapshot' "$tmp/all" || fail "the stream does not begin"
job '.train.epochs = 12' >"$tmp/job.json"

# The id and nothing else on standard output.
id=$(ctl submit "$tmp/job.json" 2>"$tmp/err") || fail "submit: $(cat "$tmp/err")"
[[ $id =~ ^job_[0-9A-HJKMNP-TV-Z]{26}$ ]] || fail "submit printed \"$id\""
[ ! -s "$tmp/err" ] || fail "submit complains: $(cat "$tmp/err")"

listen_events "$tmp/one" "?job=$id"
one=$!
wait_state "$id" succeeded
wait $one || fail "the stream of one job does not end with it"

api GET "/api/v1/jobs/$id"
[ "$(body '[.kind, .name, .attempt, .ranks, .reason, .progress.step, .progress.total_steps] | tostring')" = \
    '["train","e2e",1,2,null,48,48]' ] || fail "job: $text"
[ "$(body '.created_at <= .started_at and .started_at <= .finished_at')" = true ] || fail "times: $text"
[ "$(body .spec.optimizer.momentum)" != null ] || fail "the spec is not normalised"
diff <(body .result | jq -S .) <(jq -S . "$state/jobs/$id/out/result.json") || fail "result differs from result.json"

# History: every state once, in order.
api GET "/api/v1/jobs/$id/events"
states=$(body '[.items[].state] | join(" ")')
[ "$states" = "queued starting running succeeded" ] || fail "history: $states"
[ "$(body '[.items[].id] | . == (sort | unique)')" = true ] || fail "ids of the history do not rise"

# Metrics: the series are the file.
same_metrics "$id"
[ "$(wc -l <"$tmp/want")" -ge 40 ] || fail "only $(wc -l <"$tmp/want") points"
name=$(get "/api/v1/jobs/$id/metrics/series?name=top1&name=lr" '[.series[].name] | unique | join(" ")')
[ "$name" = "lr top1" ] || fail "series by name: $name"

# Artifacts.
names=$(get "/api/v1/jobs/$id/artifacts" '.items[].name')
for f in spec.json metrics.jsonl result.json student.safetensors; do
    grep -qx "$f" <<<"$names" || fail "no artifact $f among $names"
done
grep -q '^checkpoints/step-.*\.safetensors$' <<<"$names" || fail "no checkpoint among $names"

# The stream of all: every point once and in order, all states, ids that rise.
within 5 grep -qs '^event: end' "$tmp/all" || fail "no end event"
kill $stream
wait $stream 2>/dev/null
grep -qi '^content-type: text/event-stream' "$tmp/all.head" || fail "type of the stream"
[ "$(frames "$tmp/all" | head -1 | cut -d' ' -f2)" = snapshot ] || fail "the snapshot does not come first"
for file in all one; do
    frames "$tmp/$file" | awk '$1 { if ($1 <= last) exit 1; last = $1 }' || fail "$file: ids do not rise"
done
events_named "$tmp/all" metric | jq -r '.points[] | "\(.name) \(.split) \(.step) \(.value)"' >"$tmp/streamed"
jq -r '"\(.name) \(.split) \(.step) \(.value)"' "$state/jobs/$id/out/metrics.jsonl" >"$tmp/file"
cmp -s "$tmp/streamed" "$tmp/file" || fail "streamed points: $(diff "$tmp/streamed" "$tmp/file" | head -5)"
states=$(events_named "$tmp/all" state | jq -rs 'map(.state) | join(" ")')
[ "$states" = "queued starting running succeeded" ] || fail "streamed states: $states"
[ "$(events_named "$tmp/all" end | jq -r '.id + " " + .state')" = "$id succeeded" ] || fail "end event"
[ "$(frames "$tmp/one" | tail -1 | cut -d' ' -f2)" = end ] || fail "a job's stream ends with something else"

# 202 and Location lead to the job.
post_job "$(job '.name = "second" | .train.max_steps = 1')"
expect 202 "POST"
header location
[ "$value" = "/api/v1/jobs/$(body .id)" ] || fail "Location: $value"
[ "$(body .state)" = queued ] || fail "state after submission: $(body .state)"
id=$(body .id)
api GET "$value"
expect 200 "Location"
wait_state "$id" succeeded
api GET /api/v1/jobs
[ "$(body '[.items[].name] | join(" ")')" = "second e2e" ] || fail "list: $text"

# -- The same request twice is one job, with one answer --
ctl drain >/dev/null
send() { # KEY BODY
    local payload=$2
    api POST /api/v1/jobs 'Content-Type: application/json' "Idempotency-Key: $1"
}
keyed=$(job '.name = "keyed"')
send '"one"' "$keyed"
expect 202 "a request with a key"
first=$text id=$(body .id)
header idempotency-replayed
[ -z "$value" ] || fail "the first answer says that it is a replay"
stop_daemon
start_daemon
for key in '"one"' one; do # the quotes may be forgotten
    send "$key" "$keyed"
    expect 202 "the same again"
    [ "$text" = "$first" ] || fail "another answer: $text"
    header idempotency-replayed
    [ "$value" = true ] || fail "the replay does not say so"
    header location
    [ "$value" = "/api/v1/jobs/$id" ] || fail "Location of a replay: $value"
done
send '"one"' "$keyed "
problem 422 idempotency_key_reused "another body"
[[ $text == *"$id"* ]] || fail "it does not name the job: $text"
send '"two"' "$keyed"
expect 202 "another key"
[ "$(body .id)" != "$id" ] || fail "another key, the same job"
for key in '""' '"' "$(printf 'k%.0s' {1..256})" $'"\xc3\xbc"'; do
    send "$key" "$keyed"
    problem 400 bad_request "key $key"
done
# A refusal is not kept: what was wrong can be put right.
send '"three"' '{}'
problem 422 invalid "no job"
send '"three"' "$keyed"
expect 202 "the key of a refused request"
[ "$(get "/api/v1/jobs?name=keyed" '.items | length')" = 3 ] || fail "not three jobs: $text"

# distillctl sends it again when the daemon dies on it, wherever the next one listens: still one job.
kill -STOP "$daemon"
job '.name = "lost"' >"$tmp/lost.json"
# By the address, not by the socket.
ctl --token-file "$state/token" submit "$tmp/lost.json" >"$tmp/lost.id" 2>"$tmp/lost.err" &
client=$!
connected() {
    ss -Htn state established "( dport = :${address#*/} )" 2>/dev/null | grep -q .
}
within 10 connected || pause 1
pause 0.3
kill_daemon
start_daemon
wait $client || fail "submit gave up: $(cat "$tmp/lost.err")"
api GET "/api/v1/jobs?name=lost"
[ "$(body '.items[].id')" = "$(cat "$tmp/lost.id")" ] || fail "lost and found: $text"

# -- Lists: filters, and pages that fit together --
post_job "$(job '.name = "odd &=?" | .labels = {team: "a:b", x: "y"}')"
odd=$(body .id)
listed() { # QUERY WANT
    api GET "/api/v1/jobs?$1"
    expect 200 "$1"
    [ "$(body '[.items[].name] | join(" ")')" = "$2" ] || fail "$1: $(body '[.items[].name] | join(" ")')"
}
listed 'name=odd%20%26%3D%3F' 'odd &=?'
listed 'label=team:a:b' 'odd &=?'
listed 'label=team:a' ''
listed 'label=nothing:x' ''
for labels in '{"": "x"}' '{"a:b": "x"}' '{"a": "\u001b[2J"}' "{\"a\": \"$(printf '%257s' x)\"}"; do
    post_job "$(job ".labels = $labels")"
    problem 422 invalid "the labels $labels"
    [ "$(body '.errors[0].pointer')" = '#/labels' ] || fail "the labels $labels: $text"
done
post_job "$(job '.sweep = {grid: [{field: "labels.a", values: ["x", "\u0007"]}]}')"
problem 422 invalid "a label of a sweep's job"
listed 'state=succeeded' 'second e2e'
listed 'state=succeeded&name=second' second
listed 'kind=eval' ''
listed 'owner=root&state=succeeded&name=second' second
listed 'owner=nobody' ''
listed 'kind=train&state=queued&name=keyed' 'keyed keyed keyed'
api GET '/api/v1/jobs?label=team'
problem 400 bad_request "a label without a value"
walk() { # QUERY: follows Link; all names in $walked
    local path="/api/v1/jobs?page_size=2&$1"
    walked=
    while [ -n "$path" ]; do
        api GET "$path"
        expect 200 "$path"
        walked+="$(body '.items[] | .name + ","' | tr -d '\n')"
        header link
        path=
        [[ ! $value =~ ^\<([^\>]*)\>\;\ rel=\"next\"$ ]] || path=${BASH_REMATCH[1]}
        [ -n "$path" ] || [ "$(body .next_page_token)" = null ] || fail "a token without a link"
    done
}
listed 'q=EY' 'keyed keyed keyed'
listed "q=${odd,,}" 'odd &=?'
listed 'q=%25' ''
at=$(get '/api/v1/jobs?name=second' '.items[0].created_at')
listed "created_after=$at" 'odd &=? lost keyed keyed keyed'
listed "created_before=$at" e2e
listed "created_after=$at&order_by=created_at&q=k" 'keyed keyed keyed'
listed "created_after=$at&created_before=$at" ''
listed 'created_after=2200-01-01T00:00:00%2B01:00' ''
for query in created_after=yesterday created_before=1960-01-01T00:00:00Z order_by=name kind=x sweep=x; do
    api GET "/api/v1/jobs?$query"
    problem 400 bad_request "$query"
done
[ "$(ctl list --after "$at" --search Ke --state queued | awk 'NR > 1 {print $2}' | xargs)" = 'keyed keyed keyed' ] ||
    fail "list with filters: $(ctl list --after "$at" --search Ke --state queued)"
walk 'order_by=created_at'
[ "$walked" = 'e2e,second,keyed,keyed,keyed,lost,odd &=?,' ] || fail "pages, oldest first: $walked"
walk 'order_by=created_at&project=default'
[ "$walked" = 'e2e,second,keyed,keyed,keyed,lost,odd &=?,' ] || fail "pages of a project, oldest first: $walked"
walk "order_by=-created_at&created_after=$at"
[ "$walked" = 'odd &=?,lost,keyed,keyed,keyed,' ] || fail "pages of what came later: $walked"
walk ''
[ "$walked" = 'odd &=?,lost,keyed,keyed,keyed,second,e2e,' ] || fail "pages: $walked"
walk 'state=queued&name=keyed'
[ "$walked" = 'keyed,keyed,keyed,' ] || fail "pages of a filter: $walked"
page=$(get '/api/v1/jobs?page_size=1&state=queued' .next_page_token)
api GET "/api/v1/jobs?page_token=$page"
problem 400 bad_request "the token of another list"
api GET "/api/v1/jobs?state=queued&page_token=${page%?}"
problem 400 bad_request "half a token"
for id in $(get '/api/v1/jobs?state=queued' '.items[].id'); do
    verb "$id" cancel
done
look "$odd"
[ "$now" = cancelled ] || fail "a waiting job is $now"
# -- Many in one request --
post_batch() { # JSON [HEADER]...
    local payload=$1
    api POST /api/v1/jobs:batch 'Content-Type: application/json' "${@:2}"
}
jobs_now() {
    sqlite3 -cmd '.timeout 10000' "$state/state.db" 'SELECT count(*) FROM job' 2>/dev/null || get '/api/v1/jobs?page_size=500' '.items | length'
}
pair() { # MEMBERS
    job | jq -c "{jobs: [., (.train.epochs = -1), .], $1}"
}
n=$(jobs_now)
post_batch "$(pair 'atomic: false')" 'Idempotency-Key: "batch"'
expect 202 "a batch with one bad job"
[ "$(body '"\(.accepted) \([.items[].id != null])"')" = '2 [true,false,true]' ] || fail "batch: $text"
[ "$(body '.items[1].error.errors[0].pointer')" = '#/train/epochs' ] || fail "what is wrong with one of a batch: $text"
[ "$(jobs_now)" = $((n + 2)) ] || fail "$(jobs_now) jobs after a batch of 2, were $n"
first=$text
for id in $(body '.items[].id | select(.)'); do
    look "$id"
    [ "$now" = queued ] || fail "a job of a batch is $now"
    [ "$(get "/api/v1/jobs/$id/events" '.items | length')" -ge 1 ] || fail "no history of a job of a batch"
done
post_batch "$(pair 'atomic: false')" 'Idempotency-Key: "batch"'
header idempotency-replayed
[ "$value" = true ] && [ "$text" = "$first" ] && [ "$(jobs_now)" = $((n + 2)) ] || fail "a batch sent again: $text"
header location
[ -z "$value" ] || fail "the answer to a batch has a Location: $value"
post_batch "$(pair 'atomic: true')"
problem 422 invalid "an atomic batch with one bad job"
[ "$(body '.errors[0].pointer')" = '#/jobs/1/train/epochs' ] || fail "what is wrong with an atomic batch: $text"
only_judged() { # JSON STATUS
    local payload=$1
    api POST '/api/v1/jobs:batch?validate_only=true' 'Content-Type: application/json' 'Idempotency-Key: "judged"'
    expect "$2" "a batch that is only judged"
    [ "$(jobs_now)" = $((n + 2)) ] || fail "$(jobs_now) jobs after a batch that was only judged"
}
only_judged "$(pair 'atomic: false')" 200
[ "$(body '"\(.accepted) \([.items[] | [.id, .error.errors[0].pointer]])"')" = \
    '2 [[null,null],[null,"#/train/epochs"],[null,null]]' ] || fail "verdicts: $text"
only_judged "$(pair 'atomic: true')" 422
post_batch "$(job | jq -c '{jobs: [range(1001) as $i | .]}')"
problem 422 invalid "a batch of 1001 jobs"
[[ $text == *'expected 1 to 1000 jobs, got 1001'* ]] || fail "too many jobs: $text"
# Any number of a job as it should not be, alone: the daemon says so, and lives.
payload=$(job) api POST '/api/v1/jobs?validate_only=true' 'Content-Type: application/json'
expect 200 "a job that is only judged"
numbers=$(jq -c '.spec as $s | [$s | paths(type == "number")] as $all | ["no job"] + [$all[] as $p |
    (0, -1, 2147483647, -2147483648, 1e300) as $v | $s | setpath($p; $v)] | {jobs: .[:1000], atomic: true}' <<<"$text")
[ "$(jq '.jobs | length' <<<"$numbers")" -gt 100 ] || fail "numbers of a job: $numbers"
post_batch "$numbers"
problem 422 invalid "numbers that are wrong"
for field in resources.threads resources.ranks train.lanes; do
    post_job "$(job ".$field = 0")"
    problem 422 invalid "$field: 0"
    [[ $text == *"#/${field/.//}"* ]] || fail "$field: 0: $text"
done
post_batch '{"jobs": []}'
problem 422 invalid "an empty batch"
post_batch '{"jobs": {}}'
problem 422 invalid "a batch that is no array"
post_batch '{"jobs": [1], "jobs": [2]}'
problem 400 bad_request "jobs twice"
[[ $text == *duplicate* ]] || fail "jobs twice: $text"
post_batch "$(job | jq '{jobs: [., .]}' | tail -n +3)"
problem 400 bad_request "half a batch"
post_batch "{\"jobs\": [$(job),
  {\"name\": nan}]}"
problem 400 bad_request "a batch with one that is no JSON"
[[ $text =~ 'line 2'[0-9]* ]] || fail "where a batch is no JSON: $text"
[ "$(jobs_now)" = $((n + 2)) ] || fail "refused batches left jobs"
post_batch "{\"j\\u006fbs\": [$(job '.name = "spelt"')]}"
expect 202 "a batch with an escape in its name"
id=$(body '.items[0].id')
[ "$(get "/api/v1/jobs/$id/spec" .name)" = spelt ] || fail "jobs with an escape: $text"
post_batch "$(job | jq -c '{jobs: [., (.sweep = {seeds: [1, 2]})]}')"
expect 202 "a batch with a sweep"
id=$(body '.items[1].id')
[ "$(get "/api/v1/jobs/$id" .sweep.total)" = 2 ] || fail "a sweep in a batch: $text"
verb "$id" cancel
wait_state "$id" cancelled
n=$(($(jobs_now) - 2))
post_batch "$(job | jq -c '{jobs: [range(1000) as $i | .labels = ([range(6) | {key: "pad\(.)", value: ("x" * 250)}] | from_entries)]}')"
expect 202 "a batch of 1000 jobs with more bytes than other bodies may have"
[ "$(jobs_now)" = $((n + 1002)) ] || fail "$(jobs_now) jobs after a batch of 1000"
# One that is sent again while it is still being judged: its key holds.
n=$(jobs_now)
job | jq -c '{jobs: [range(1000) as $i | .train.seed = $i]}' >"$tmp/batch.json"
codes=$(curl -sS --parallel --parallel-immediate --max-time 60 -o /dev/null -w '%{http_code}\n' -H @- -H 'Content-Type: application/json' \
    -H 'Idempotency-Key: "impatient"' --data-binary "@$tmp/batch.json" "$url/api/v1/jobs:batch#[1-8]" \
    <<<"Authorization: Bearer $token" 2>/dev/null)
[ "$(wc -l <<<"$codes")" = 8 ] && grep -q 202 <<<"$codes" && ! grep -qv -e 202 -e 409 <<<"$codes" || fail "a batch sent 8 times at once: $codes"
[ "$(jobs_now)" = $((n + 1000)) ] || fail "$(jobs_now) jobs after a batch sent 8 times at once, were $n"
# -- Those that come together are committed together --
commits() {
    api GET /metrics
    [[ $text =~ distilld_db_commit_seconds_count\ ([0-9]+) ]] && commits=${BASH_REMATCH[1]}
}
api POST /api/v1/queue:pause
expect 200 "pausing the queue"
for id in $(get '/api/v1/jobs?page_size=500&state=starting' '.items[].id') $(get '/api/v1/jobs?page_size=500&state=running' '.items[].id'); do
    verb "$id" cancel
    wait_state "$id" cancelled
done
commits
# The codes of submissions that the daemon finds all at once, in $codes.
at_once() { # JOB...
    local payload fd fds=() line
    kill -STOP "$daemon"
    for payload; do
        exec {fd}<>"/dev/tcp/$address"
        fds+=("$fd")
        printf '%s' "POST /api/v1/jobs HTTP/1.1"$'\r\n'"Host: 127.0.0.1"$'\r\n'"Authorization: Bearer $token"$'\r\n'"Content-Type: application/json"$'\r\n'"Content-Length: ${#payload}"$'\r\n\r\n'"$payload" >&"$fd"
    done
    kill -CONT "$daemon"
    codes=()
    for fd in "${fds[@]}"; do
        read -r -t 15 -u "$fd" line
        line=${line#* }
        codes+=("${line%% *}")
        exec {fd}>&-
    done
}
plain=$(job) many=()
for ((i = 0; i < 24; i++)); do
    many+=("$plain")
done
before=$commits n=$(jobs_now)
at_once "${many[@]}"
[ "$(printf '%s\n' "${codes[@]}" | sort | uniq -c | tr -s ' ')" = ' 24 202' ] || fail "24 at a time: ${codes[*]}"
[ "$(jobs_now)" = $((n + 24)) ] || fail "$(jobs_now) jobs after 24 at a time, were $n"
commits
[ $((commits - before)) -le 8 ] || fail "24 submissions at a time took $((commits - before)) commits"
# One that is refused costs the others nothing; those of one project count together.
ctl projects small --queued 2 >/dev/null || fail "distillctl projects"
small=$(job '.project = "small"') n=$(jobs_now)
at_once "$plain" "$small" "$small" "$plain" "$small" "$small" "$plain"
[ "$(printf '%s\n' "${codes[@]}" | sort | uniq -c | tr -s ' \n' ' ')" = ' 5 202 2 429 ' ] || fail "a quota among others: ${codes[*]}"
[[ "${codes[0]} ${codes[3]} ${codes[6]}" == '202 202 202' && $(jobs_now) == $((n + 5)) ]] || fail "a quota among others: ${codes[*]}, $(jobs_now) jobs, were $n"
# Nor does one that the database refuses when others of its statement are stored already.
state_sql() { # SQL
    sqlite3 -cmd '.timeout 10000' "$state/state.db" "$1" || fail "sqlite3: $1"
}
state_sql "CREATE TRIGGER refuse AFTER INSERT ON job WHEN new.name = 'poison' BEGIN SELECT raise(ABORT, 'poison'); END"
poison=$(job '.name = "poison"') n=$(jobs_now)
at_once "${many[@]:0:5}" "$poison" "${many[@]:0:12}" "$poison"
[ "$(printf '%s\n' "${codes[@]}" | sort | uniq -c | tr -s ' \n' ' ')" = ' 17 202 2 503 ' ] || fail "a failure among others: ${codes[*]}"
[[ "${codes[5]} ${codes[18]}" == '503 503' && $(jobs_now) == $((n + 17)) ]] || fail "a failure among others: ${codes[*]}, $(jobs_now) jobs, were $n"
payload=$(jq -c --argjson plain "$plain" '{jobs: [$plain, $plain, $plain, $plain, $plain, ., $plain, $plain, $plain, $plain, $plain, $plain]}' <<<"$poison") \
    api POST /api/v1/jobs:batch 'Content-Type: application/json'
[[ $code == 503 && $(jobs_now) == $((n + 17)) ]] || fail "a batch that cannot be stored: $code $text"
state_sql "DROP TRIGGER refuse"
[ "$(state_sql "SELECT count(*) FROM job LEFT JOIN (SELECT subject, count(*) AS rows FROM audit
    WHERE status = 202 GROUP BY subject) ON subject = id WHERE name = 'e2e' AND rows IS NOT 1
    AND seq > (SELECT max(seq) FROM job) - 17")" = 0 ] || fail "not one row of the audit log for each of them"
ctl audit --verify >"$tmp/audit" || fail "the audit log: $(cat "$tmp/audit")"
for id in $(get '/api/v1/jobs?project=small' '.items[].id'); do
    verb "$id" cancel
done
n=$(jobs_now)
payload=$(job '.project = "small"' | jq -c '{jobs: [., ., .]}') api POST /api/v1/jobs:batch 'Content-Type: application/json'
problem 429 quota_exceeded "a batch beyond a quota"
[ "$(jobs_now)" = "$n" ] || fail "a batch beyond a quota left jobs"
payload=$(job '.project = "small"' | jq -c '{jobs: [., .]}') api POST /api/v1/jobs:batch 'Content-Type: application/json'
expect 202 "a batch within a quota"
n=$(jobs_now)
job >"$tmp/one.json"
job | jq -c '[., .]' >"$tmp/two.json"
ctl submit "$tmp/one.json" "$tmp/two.json" >"$tmp/ids" || fail "several files: $(cat "$tmp/ids")"
[ "$(sort -u "$tmp/ids" | wc -l)" = 3 ] && [ "$(jobs_now)" = $((n + 3)) ] || fail "several files: $(cat "$tmp/ids")"
job '.train.epochs = -1' >"$tmp/bad.json"
ctl submit "$tmp/one.json" "$tmp/bad.json" >"$tmp/ids" 2>"$tmp/err" && fail "a bad file among several"
grep -q 'jobs/1/train/epochs' "$tmp/err" && [ "$(jobs_now)" = $((n + 3)) ] || fail "a bad file: $(cat "$tmp/err")"
kill_daemon

# The daemon may be told to end while a batch is being read: it is stored and answered, or was never taken.
job | jq -c '{jobs: [range(1000) as $i | .train.seed = $i]}' >"$tmp/batch.json"
for wait_s in 0.005 0.01 0.015 0.02 0.03 0.05; do
    start_daemon
    n=$(jobs_now)
    : >"$tmp/body"
    curl -sS --max-time 20 -o "$tmp/body" -H @- -H 'Content-Type: application/json' --data-binary "@$tmp/batch.json" \
        "$url/api/v1/jobs:batch" <<<"Authorization: Bearer $token" 2>/dev/null &
    client=$!
    pause $wait_s
    stop_daemon
    wait $client
    text=$(<"$tmp/body")
    stored=$(($(sqlite3 "$state/state.db" 'SELECT count(*) FROM job') - n))
    [ $stored = 0 ] || [ $stored = 1000 ] || fail "$stored jobs of a batch of 1000 in the last moment"
    [[ $text != *'"accepted":1000'* ]] || [ $stored = 1000 ] || fail "a batch that was acknowledged in the last moment is lost"
done

# What stands behind it on the same connection is refused, if it is not carried out.
post() { # PATH FILE: as it goes over the wire
    printf 'POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' \
        "$1" "$token" "$(wc -c <"$2")"
    cat "$2"
}
job >"$tmp/one.json"
for wait_s in 0.005 0.01 0.02; do
    start_daemon
    n=$(jobs_now)
    { post /api/v1/jobs:batch "$tmp/batch.json" && post /api/v1/jobs "$tmp/one.json"; } >"$tmp/wire"
    exec {fd}<>"/dev/tcp/$address"
    cat "$tmp/wire" >&"$fd"
    pause $wait_s
    stop_daemon
    timeout 20 cat <&"$fd" >"$tmp/answers"
    exec {fd}>&-
    accepted=$(grep -o 'HTTP/1.1 202' "$tmp/answers" | wc -l)
    refused=$(grep -c '"code":"stopped"' "$tmp/answers")
    stored=$(($(sqlite3 "$state/state.db" 'SELECT count(*) FROM job') - n))
    case $accepted/$refused/$stored in
    1/1/1000 | 2/0/1001 | 0/[012]/0) ;; # the last: neither was begun
    *) fail "of two requests in the last moment $accepted were accepted and $refused refused, with $stored jobs" ;;
    esac
done

# What the worker can do is not known yet at the very first start: whatever is submitted then waits, to be judged by it.
cat >"$tmp/slow-worker" <<W
#!/bin/bash
[ "\$1" != catalog ] || sleep 2
exec "$builddir/distill-worker" "\$@"
W
chmod +x "$tmp/slow-worker"
start_daemon --worker "$tmp/slow-worker"
post_batch "$(job | jq -c '{jobs: [.student.model = "resnet999"]}')"
problem 422 invalid "a batch before the worker's answer"
[ "$(body '.errors[0].pointer')" = '#/jobs/0/student/model' ] || fail "a batch before the worker's answer: $text"
problems_are_whole
# In a long history what has no index is looked for beside the loop: the same lists.
while [ "$(jobs_now)" -le 2500 ]; do
    payload=$(job | jq -c '{jobs: [range(1000) as $i | .train.seed = $i]}') api POST /api/v1/jobs:batch 'Content-Type: application/json'
    expect 202 "a batch for the history"
done
submit '.name = "rare" | .labels = {team: "c:d"} | .project = "other"'
all_of() { # QUERY: ids of all pages
    local next=
    while :; do
        curl_api GET "/api/v1/jobs?page_size=400&$1${next:+&page_token=$next}"
        expect 200 "the list of $1"
        jq -r '.items[].id' "$tmp/body"
        next=$(jq -r '.next_page_token // ""' "$tmp/body")
        [ -n "$next" ] || return 0
    done
}
for query in name=rare label=team:c:d project=other 'state=queued&label=team:c:d' 'kind=train&name=rare'; do
    [ "$(all_of "$query")" = "$id" ] || fail "the list of $query: $(all_of "$query" | head -3)"
done
[ -z "$(all_of name=none)" ] || fail "jobs of a name that none has"
[ "$(all_of name=e2e)" = "$(state_sql "SELECT id FROM job WHERE name = 'e2e' ORDER BY seq DESC")" ] || fail "pages of a search"
is_known() { # the queue may be looked at in between
    api GET '/api/v1/jobs?name=rare'
    header etag
    api GET '/api/v1/jobs?name=rare' "If-None-Match: $value"
    [ "$code" = 304 ]
}
within 5 is_known || fail "a search that is known: $code"
verb "$id" cancel
api GET '/api/v1/jobs?name=rare' "If-None-Match: $value"
[ "$code $(body '.items[0].state')" = '200 cancelled' ] || fail "a search after a change: $code $text"

# A batch of sweeps, each of whose values is tried, takes a while, which is not that of others; a daemon that is to end
# does not wait for it.
job | jq -c '{jobs: [range(120) as $i | .sweep = {grid: [{field: "train.seed", values: [range(2000)]}]}]}' >"$tmp/sweeps.json"
n=$(jobs_now)
curl -sS --max-time $((60 * $PATIENCE)) -o "$tmp/sweeps" -w '%{http_code}' -H @- -H 'Content-Type: application/json' \
    --data-binary "@$tmp/sweeps.json" "$url/api/v1/jobs:batch" <<<"Authorization: Bearer $token" >"$tmp/code" 2>/dev/null &
batch=$!
pause 0.3
for ((i = 0; i < 3; i++)); do
    api GET '/api/v1/jobs?page_size=1'
    expect 200 "a page beside a batch of sweeps"
done
kill -0 $batch 2>/dev/null || fail "a batch of sweeps holds others up, or takes no time: $(cat "$tmp/code" "$tmp/sweeps")"
stop_daemon
wait $batch
[ "$(cat "$tmp/code") $(jq -r .code "$tmp/sweeps")" = '503 stopped' ] || fail "a batch of sweeps when the daemon ends: $(cat "$tmp/code" "$tmp/sweeps")"
start_daemon
[ "$(jobs_now)" = "$n" ] || fail "a batch that was refused left jobs"
kill_daemon
