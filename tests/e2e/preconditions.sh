#!/bin/bash
# Of two who change the same thing at once, the second is told: If-Match, for all that has an ETag and can be changed.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

json='Content-Type: application/json'
start_daemon

etag_of() { # PATH: into $tag
    api GET "$1"
    expect 200 "GET $1"
    header etag
    tag=$value
    [[ $tag =~ ^\"[0-9a-f-]+\"$ ]] || fail "the ETag of $1: $tag"
}
change() { # METHOD PATH BODY [HEADER]...
    local method=$1 path=$2
    payload=$3
    shift 3
    if [ -n "$payload" ]; then
        payload=$payload api "$method" "$path" "$json" "$@"
    else
        api "$method" "$path" "$@"
    fi
}

# One that has seen another state is refused and has changed nothing; one that has seen this one is not, and its answer
# has the tag for the next.
guarded() { # METHOD PATH BODY STATUS
    etag_of "$2"
    local seen=$tag stale="\"0${tag:2}"
    [ "$seen" != "$stale" ] || stale="\"1${tag:2}"
    for refused in "$stale" '"stale"' "W/$seen" ''; do
        change "$1" "$2" "$3" "If-Match: $refused"
        problem 412 precondition_failed "$1 $2 that has seen $refused"
    done
    change "$1" "$2" "$3" "If-None-Match: *"
    problem 412 precondition_failed "$1 $2 only if there is none"
    etag_of "$2"
    [ "$tag" = "$seen" ] || fail "$1 $2 has changed what it was not to"
    change "$1" "$2" "$3" "If-Match: \"more\"" "If-Match: \"other\", $seen"
    expect "$4" "$1 $2 that has seen it"
}
changed_twice() { # METHOD PATH BODY
    guarded "$1" "$2" "$3" 200
    header etag
    local answered=$value first=$tag
    etag_of "$2"
    [ "$tag" = "$answered" ] || fail "$1 $2 answers with the tag $answered, GET with $tag"
    change "$1" "$2" "$3" "If-Match: $first"
    problem 412 precondition_failed "the second of two who change $2"
    change "$1" "$2" "$3" 'If-Match: *'
    expect 200 "$1 $2, whatever it is"
}

change POST /api/v1/webhooks '{"url": "https://example.org/"}'
expect 201 "a webhook"
webhook=/api/v1/webhooks/$(body .id)
changed_twice PATCH "$webhook" '{"states": ["failed"]}'
guarded DELETE "$webhook" '' 204

change PUT /api/v1/projects/vision '{"weight": 2}' 'If-Match: *'
problem 412 precondition_failed "a project that is not there"
change PUT /api/v1/projects/vision '{"weight": 2}' 'If-None-Match: *'
expect 200 "a project that is new"
changed_twice PUT /api/v1/projects/vision '{"weight": 3}'

change POST /api/v1/tokens '{"name": "robot", "scope": "read"}'
expect 201 "a token"
robot=/api/v1/tokens/$(body .id)
guarded DELETE "$robot" '' 204

change POST /api/v1/datasets '{"name": "tiny", "source": "procedural:classes=4,train=32,test=16,seed=3"}'
expect 201 "a data set"
guarded DELETE /api/v1/datasets/tiny '' 204

submit '.train.max_steps = 4 | .checkpoint = {every_steps: 2, keep: 2}'
wait_state "$id" succeeded
step=/api/v1/jobs/$id/checkpoints/$(get "/api/v1/jobs/$id/checkpoints" '.items[-1].name')
changed_twice PATCH "$step" '{"pinned": true}'
change PATCH "$step" '{"pinned": false}'
expect 200 "unpinned"
guarded DELETE "$step" '' 204

ctl models add small --job "$id" >/dev/null || fail "a model of the job"
guarded DELETE /api/v1/models/small/versions/1 '' 204
