#!/bin/bash
# distillctl against a real daemon: exit statuses, JSON of each command, waiting.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

# Runs distillctl; output in $tmp/out and $tmp/err.
is() { # STATUS ARGUMENT...
    local got
    timeout 30 "$builddir/distillctl" --state "$state" "${@:2}" >"$tmp/out" 2>"$tmp/err"
    got=$?
    [ $got -eq "$1" ] || fail "distillctl ${*:2}: status $got instead of $1: $(cat "$tmp/out" "$tmp/err")"
    [ "$1" -eq 0 ] || [ -s "$tmp/err" ] || fail "distillctl ${*:2}: no word about it"
}

says() { # TEXT
    grep -qF -- "$1" "$tmp/out" "$tmp/err" || fail "no \"$1\" in: $(cat "$tmp/out" "$tmp/err")"
}

job >"$tmp/good.json"
job '.optimizer.lr = -1 | .train.epoch = 1' >"$tmp/bad.json"
job '.student.model = "resnet9"' >"$tmp/unknown.json"

# Without a server.
is 0 validate "$tmp/good.json"
says unchecked
is 2 validate "$tmp/bad.json"
says '#/train/epoch'
is 0 validate "$tmp/unknown.json"
is 5 list
is 5 submit "$tmp/good.json"

start_daemon
is 0 validate "$tmp/good.json"
! grep -q unchecked "$tmp/out" || fail "validate did not ask the server"
is 5 --server http://127.0.0.1:1 list
is 2 validate "$tmp/unknown.json"
says "did you mean 'resnet8"
is 2 submit "$tmp/bad.json"
says 'did you mean "epochs"?'
is 2 submit "$tmp/unknown.json"
says '#/student/model'
is 2 --json submit "$tmp/unknown.json"
[ "$(jq -r '.error.errors[0].pointer' "$tmp/out")" = '#/student/model' ] || fail "error as JSON: $(cat "$tmp/out")"
is 2 submit "$tmp/none.json"
is 2 submit
is 2 sumbit x
says "did you mean 'submit'"
is 2 logs x --tail 0
is 2 show job_0000000000000000000000000A
is 2 cancel job_0000000000000000000000000A
is 2 --token-file "$tmp/good.json" list
says token
is 2 --token-file "$tmp/none" list
says "$tmp/none"
is 2 --token-file "$tmp" list
is 2 submit "$tmp"
says "$tmp"

# The other programs agree: a file that was named and cannot be read is wrong usage.
refuses() { # PROGRAM ARGUMENT...
    timeout 30 "$builddir/$1" "${@:2}" >"$tmp/out" 2>"$tmp/err"
    [ $? -eq 2 ] || fail "$*: not status 2: $(cat "$tmp/err")"
}
for path in "$tmp/none" "$tmp"; do
    refuses distilld --state "$tmp/other" --config "$path"
    refuses distill-worker train "$path" --out "$tmp/other"
    says "$path"
done

# run, submit --wait, watch: the status is the job's.
is 0 run "$tmp/good.json" --set train.max_steps=2
id=$(get /api/v1/jobs '.items[0].id')
is 0 watch "$id"
is 1 submit "$tmp/good.json" --wait --set "data.source=cifar10:$tmp/nothing" --set resources.ranks=1
[[ $(cat "$tmp/out") =~ ^job_[0-9A-Z]{26}$ ]] || fail "submit --wait prints $(cat "$tmp/out")"
says "$tmp/nothing"
failed=$(cat "$tmp/out")
is 1 watch "$id" "$failed"
job "$long" >"$tmp/long.json"
is 4 submit "$tmp/long.json" --wait --timeout 0.5
endless=$(cat "$tmp/out")
(cd "$tmp" && "$builddir/distillctl" --state "$state" watch "$endless" >"$tmp/watched" 2>&1) &
watcher=$!
wait_state "$endless" running
is 0 cancel "$endless"
wait $watcher
[ $? -eq 3 ] || fail "watch of a cancelled job does not end with 3: $(cat "$tmp/watched")"
is 3 watch "$endless"
is 0 cancel "$endless"
is 1 cancel "$id"
is 1 retry "$id"

# JSON, everywhere; one document, or one a line.
for command in list nodes "show $id" "metrics $id" "metrics $id --name top1" "fetch $id result.json -o $tmp/got" \
    dashboard "validate $tmp/good.json" "watch $id" "cancel $endless"; do
    # shellcheck disable=SC2086
    is 0 --json $command
    [ ! -s "$tmp/err" ] || fail "$command: $(cat "$tmp/err")"
    jq -e . "$tmp/out" >"$tmp/parsed" || fail "$command: no JSON: $(cat "$tmp/out")"
done
is 0 --json list
[ "$(jq -r '[.items[].state] | join(" ")' "$tmp/out")" = "cancelled failed succeeded" ] || fail "list: $(cat "$tmp/out")"
is 0 --json show "$id"
diff <(jq -S . "$tmp/out") <(get "/api/v1/jobs/$id" . | jq -S .) || fail "show --json is not the API's job"
is 0 --json watch "$id"
[ "$(tail -1 "$tmp/out" | jq -r '.. | .state? // empty' | head -1)" = succeeded ] || fail "watch --json: $(cat "$tmp/out")"

# For people.
is 0 list
says "$id"
is 0 show "$id"
says student.safetensors
is 0 metrics "$id"
says loss/total
is 0 logs "$id"
says "attempt $id.1"
is 0 fetch "$id" -o "$tmp/got"
cmp -s "$tmp/got/student.safetensors" "$state/jobs/$id/out/student.safetensors" || fail "fetched file differs"
is 2 fetch "$id" nothing -o "$tmp/got"
says student.safetensors # what there is
[ ! -e "$tmp/got/nothing" ] || fail "a file that does not exist was made"
is 0 dashboard
grep -qxE "$url/#token=$token" "$tmp/out" || fail "dashboard: $(cat "$tmp/out")"

# Completions know the jobs and their files.
is 0 completion bash -- distillctl --state "$state" show "${id%????}"
[ "$(cut -f 1 "$tmp/out")" = "$id" ] || fail "completion of ids: $(cat "$tmp/out")"
is 0 completion bash -- distillctl fetch "$id" stu
[ "$(cut -f 1 "$tmp/out" | sort | xargs)" = "student.onnx student.safetensors" ] || fail "completion of files: $(cat "$tmp/out")"

# Watchers and readers of logs wait for a daemon that is away, and find it on another port.
is 0 retry "$failed"
wait_state "$failed" failed
submit '.train.epochs = 20'
ctl watch "$id" >"$tmp/watched" 2>&1 &
watcher=$!
wait_steps "$id" 3
ctl logs "$id" --follow --tail 1000 >"$tmp/followed" 2>&1 &
reader=$!
within 20 test -s "$tmp/followed" || fail "logs --follow prints nothing"
before=$url
kill_daemon
start_daemon
while [ "$url" = "$before" ]; do # the kernel chooses
    kill_daemon
    start_daemon
done
wait $watcher || fail "watch does not survive a restart: $(cat "$tmp/watched")"
state_is "$id" succeeded || fail "watch ended before the job"
wait $reader || fail "logs --follow does not survive a restart: $(cat "$tmp/followed")"
diff "$tmp/followed" "$state/jobs/$id/out/logs/rank-0.log" || fail "logs --follow has other lines than the log"
stop_daemon
