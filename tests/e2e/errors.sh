#!/bin/bash
# Every refusal is a problem document that says what is wrong, and the daemon goes on.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
pid=$daemon

# -- 400: what is no JSON --
deep=$(printf '[%.0s' {1..40})$(printf ']%.0s' {1..40})
for text in '' '{' '{"kind":"train"} x' '{"kind":"train","kind":"train"}' '{"optimizer":{"lr":NaN}}' \
    '{"optimizer":{"lr":1e999}}' "{\"labels\":$deep}" $'{"name":"\xff"}' '{"name":"a\u0000b"}' '{"name":"a\ud800"}'; do
    post_job "$text"
    problem 400 bad_request "${text:0:60}"
done
for query in 'page_size=0' 'page_size=501' 'page_size=x' 'page_token=-1' 'page_token=' 'state=sleeping'; do
    api GET "/api/v1/jobs?$query"
    problem 400 bad_request "$query"
done
api GET '/api/v1/jobs/%zz'
problem 400 bad_request "a broken escape"
api GET '/api/v1/jobs/x%00y'
problem 400 bad_request "a NUL in the address"

# -- 401: who are you --
for path in /api/v1/jobs /api/v1/events /api/v1/version /api/v1/nothing /metrics; do
    for value in '' 'Bearer' "Bearer x$token" "Bearer ${token}x" "Bearer ${token%?}" "Basic $token" "Bearer  "; do
        http GET "$path" ${value:+"Authorization: $value"}
        problem 401 unauthorized "$path with \"$value\""
        header www-authenticate
        [ "$value" = Bearer ] || fail "401 without WWW-Authenticate"
    done
done
http GET "/api/v1/jobs?token=$token"
problem 401 unauthorized "a token in the address"

# -- 403: names that are not ours --
for host in evil.example evil.example:80 127.0.0.1.evil.example '[::2]:80'; do
    for path in / /api/v1/jobs /healthz; do
        api GET $path
        problem 403 forbidden "$path with Host: $host"
    done
done
for host in localhost localhost:1 127.0.0.1:9 '[::1]:7'; do
    api GET /api/v1/jobs
    expect 200 "Host: $host"
done
unset host

# -- 404, 405 --
for path in /nothing /api/v1/nothing /api/v2/jobs /api/v1/jobs/ /api/v1/jobs/job_0000000000000000000000000A \
    /api/v1/jobs/x/artifacts/ /api/v1/jobs//logs /problems/ /problems/none /vendor/ //x /api/v1/jobs/a/b/c/d/e \
    /api/v1/events?job=job_0000000000000000000000000A; do
    api GET "$path"
    problem 404 not_found "$path"
done
for verb in cancel explode; do
    api POST /api/v1/jobs/job_0000000000000000000000000A:$verb
    problem 404 not_found "$verb of an unknown job"
done
while read -r method path allow; do
    api "$method" "$path"
    problem 405 method_not_allowed "$method $path"
    header allow
    [ "$value" = "$allow" ] || fail "$method $path allows $value"
done <<'T'
DELETE /api/v1/jobs POST, GET
PUT /api/v1/events GET
DELETE /api/v1/version GET
PUT /api/v1/jobs/job_0000000000000000000000000A GET, PATCH, DELETE
GET /api/v1/session POST, DELETE
POST /healthz GET
T

# -- 413, 415 --
head -c 1048577 /dev/zero | tr '\0' ' ' >"$tmp/large"
head -c 1500000 /dev/zero >"$tmp/larger"
curl_api POST /api/v1/jobs -H 'Content-Type: application/json' --data-binary "@$tmp/large"
problem 413 too_large "one byte too many"
curl_api POST /api/v1/jobs -H 'Content-Type: application/json' -H 'Content-Length: 99999999999' -H 'Expect:'
problem 413 too_large "an enormous Content-Length"
curl_api POST /api/v1/jobs -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
    --data-binary "@$tmp/larger"
problem 413 too_large "too many chunks"
{ job; head -c 1000000 /dev/zero | tr '\0' ' '; } >"$tmp/padded"
curl_api POST '/api/v1/jobs?validate_only=true' -H 'Content-Type: application/json' --data-binary "@$tmp/padded"
expect 200 "a large body that still fits"
payload=$(job)
for type in text/plain application/x-www-form-urlencoded application/jsonp; do
    api POST /api/v1/jobs "Content-Type: $type"
    problem 415 unsupported_media_type "$type"
done
for type in 'application/json; charset=utf-8' 'Application/JSON'; do
    api POST '/api/v1/jobs?validate_only=true' "Content-Type: $type"
    expect 200 "$type"
done
payload=

# -- What would not be looked at --
while read -r method path word; do
    payload=$(job) api "$method" "$path" 'Content-Type: application/json'
    problem 400 bad_request "$method $path"
    [[ $text == *"\"detail\":\"$word:"* ]] || fail "$method $path: $text"
done <<'T'
GET /api/v1/jobs?stat=failed stat
GET /api/v1/jobs?State=failed State
GET /api/v1/jobs?kind=train&kind=eval kind
GET /api/v1/jobs?name=%zz name
GET /api/v1/jobs?page_size=1&page_size=1 page_size
GET /api/v1/queue?x x
GET /api/v1/events?jobs=job_0 jobs
GET /api/v1/version?now=1 now
POST /api/v1/jobs?validate=true validate
POST /api/v1/jobs?validate_only=1 validate_only
POST /api/v1/jobs?validate_only=TRUE validate_only
POST /api/v1/jobs?validate_only= validate_only
POST /api/v1/jobs:batch?validate_only=yes validate_only
POST /api/v1/queue:pause?force=1 force
T
api GET '/api/v1/jobs?stat=failed'
[[ $text == *"there are: sweep, state, kind, "* ]] || fail "what there is: $text"
http GET '/?from=a%20bookmark'
expect 200 "a parameter of the dashboard's own"
http GET '/healthz?ts=1'
expect 200 "a probe's parameter against caches"
api GET '/api/v1/jobs?&page_size=1'
expect 200 "no parameter before the first one"
refused_body() { # STATUS CODE BODY [TYPE]
    local payload=$3
    api POST /api/v1/queue:pause "Content-Type: ${4:-application/json}"
    problem "$1" "$2" "a pause with the body $3"
}
refused_body 422 invalid '{"for_s": 3}'
[[ $text == *'unknown member \"for_s\"'* ]] || fail "an unknown member of a pause: $text"
refused_body 422 invalid '[]'
refused_body 400 bad_request garbage
refused_body 415 unsupported_media_type '{}' text/plain
[ "$(get /api/v1/jobs '.items | length')" = 0 ] || fail "a request that was refused made a job: $text"
[ "$(get /api/v1/queue .paused)" = false ] || fail "a request that was refused paused the queue"
payload='{}' api POST /api/v1/queue:resume 'Content-Type: application/json'
expect 200 "an empty object where nothing is to be said"

# -- 422: every place at once --
pointers() {
    body '[.errors[].pointer] | sort | join(" ")'
}
post_job "$(job '.optimizer.lr = -1 | .train.batch = 0 | .student.model = "resnet9" | .data.source = "cifar10:data"
    | .resources = {ranks: 4, threads: 3} | .student.weights = "w.safetensors"')"
problem 422 invalid "many mistakes"
for want in /optimizer/lr /train/batch /student/model /data/source /student/weights /resources/ranks; do
    pointers | grep -q "#$want\b" || fail "no error for $want: $(pointers)"
done
[ "$(body '.errors | all(.detail | length > 0)')" = true ] || fail "an error without a sentence"
detail() { # POINTER
    body ".errors[] | select(.pointer == \"$1\").detail"
}
detail '#/student/model' | grep -q "did you mean 'resnet8" || fail "no suggestion: $(detail '#/student/model')"
detail '#/data/source' | grep -q 'absolute' || fail "a relative path: $(detail '#/data/source')"
detail '#/resources/ranks' | grep -q '2 lanes' || fail "ranks and lanes: $(detail '#/resources/ranks')"
detail '#/resources/ranks' | grep -q '12 slots; this daemon has 2' || fail "slots: $(detail '#/resources/ranks')"
post_job "$(job '.optimiser = {} | .train.epoch = 3 | .train.seed = "x" | .resources.ranks = 1.5')"
problem 422 invalid "wrong members"
[ "$(pointers)" = "#/optimiser #/resources/ranks #/train/epoch #/train/seed" ] || fail "wrong members: $(pointers)"
detail '#/train/epoch' | grep -q epochs || fail "no suggestion: $(detail '#/train/epoch')"
for text in '[]' '3' 'null' '{}'; do
    post_job "$text"
    problem 422 invalid "$text"
done

# -- 409 --
submit '.train.max_steps = 1 | .name = "two\nlines\u001b[31m"'
api POST "/api/v1/jobs/$id:retry"
problem 409 conflict "retry of an active job"
wait_state "$id" succeeded
for verb in cancel retry; do
    api POST "/api/v1/jobs/$id:$verb"
    problem 409 conflict "$verb of a job that succeeded"
done

# Each type is a page of the daemon, for everybody.
for kind in bad_request unauthorized forbidden not_found method_not_allowed conflict too_large \
    unsupported_media_type invalid io; do
    http GET "/problems/$kind"
    [[ $code == 200 && $text == *"($kind, HTTP status "* ]] || fail "/problems/$kind: $code"
done

problems_are_whole
[ "$(get /api/v1/jobs '.items | length')" = 1 ] || fail "a refused job is in the list"
! grep -v '^20..-..-..T..:..:..\....Z [a-z]* ' "$tmp/daemon.log" || fail "a name broke a line of the log"
[ $pid = "$daemon" ] && kill -0 "$pid" || fail "the daemon is gone"
stop_daemon
