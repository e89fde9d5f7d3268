#!/bin/bash
# Webhooks: a receiver is told once of each change it asked for, with a signature that it can check;
# what it does not take comes again, also after a kill of the daemon; addresses that are not public are refused.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99
command -v node >/dev/null || { echo "SKIP: node is not installed (Debian package nodejs)"; exit 77; }

inbox=$tmp/inbox
mkdir "$inbox"
: >"$inbox/messages"
echo 204 >"$inbox/answer"
node "$srcdir/tests/e2e/receiver.mjs" "$inbox" >"$inbox/log" 2>&1 &
receiver=$!
at_end="kill $receiver"
port_known() { [ -s "$inbox/port" ]; }
within 20 port_known || fail "no receiver: $(cat "$inbox/log")"
to=http://127.0.0.1:$(cat "$inbox/port")/hook

got() { # N
    [ "$(wc -l <"$inbox/messages")" -ge "$1" ]
}
types() {
    jq -r 'select(.status >= 200 and .status < 300) | .body.type' "$inbox/messages" | tr '\n' ' '
}
hooks() { # WORD...
    DISTILLD_STATE=$state "$builddir/distillctl" webhooks "$@"
}

# Where nobody allowed it, this host is out of reach: nothing arrives, and the reason is told.
start_daemon
hooks add "$to" >"$tmp/added" || fail "adding: $(cat "$tmp/added")"
hook=$(sed -n 's/^id: *//p' "$tmp/added")
sed -n 's/^secret: *//p' "$tmp/added" >"$inbox/secret"
hooks test "$hook" || fail "a test"
refused() {
    hooks deliveries "$hook" --json | jq -e '.items[0] | .state == "pending" and .tries > 0 and (.message | test("127.0.0.1 is not a public address"))' >/dev/null
}
within 20 refused || fail "it is not refused: $(hooks deliveries "$hook")"
got 1 && fail "a message reached this host"
[ "$(get '/api/v1/audit?page_size=100' '[.items[] | select(.caller == "distilld") | "\(.path) \(.status) \(.subject)"] | join(",")')" = \
    "/api/v1/webhooks/$hook 403 127.0.0.1 is not a public address" ] || fail "what was blocked is not audited, once: $(ctl audit --json 2>&1 | head -c 600)"
ctl audit --verify >"$tmp/said" || fail "the audit log: $(cat "$tmp/said")"
hooks show "$hook" | grep -q whsec_ && fail "the secret is shown again"
grep -q "$(cut -c7-20 "$inbox/secret")" "$tmp/daemon.log" && fail "the secret is in the log"

# Allowed, it is told: the message that waited, then the end of a job, and nothing else.
stop_daemon
start_daemon --webhook-network 127.0.0.0/8
within 20 got 1 || fail "a message that waited is not sent after a restart"
submit '.train.max_steps = 1'
ended=$id
wait_state "$id" succeeded
within 20 got 2 || fail "no message"
[ "$(types)" = "test job.succeeded " ] || fail "told: $(types)"
jq -se 'all(.signed and .method == "POST" and .type == "application/json")' "$inbox/messages" >/dev/null || fail "messages: $(cat "$inbox/messages")"
jq -se --arg id "$ended" '.[1].body | .data.id == $id and .data.state == "succeeded" and .event_id > 0' "$inbox/messages" >/dev/null ||
    fail "what it is told: $(tail -n 1 "$inbox/messages")"

# Not taken (an error, a redirect, no answer at all), it comes again with the same id; the daemon is killed meanwhile.
hooks add "$to" --state queued --state cancelled >"$tmp/added" || fail "adding: $(cat "$tmp/added")"
second=$(sed -n 's/^id: *//p' "$tmp/added")
hooks disable "$hook" || fail "disabling"
sed -n 's/^secret: *//p' "$tmp/added" >"$inbox/secret"
echo 503 >"$inbox/answer"
submit "$long"
within 20 got 3 || fail "no try"
echo 302 >"$inbox/answer"
within 20 got 4 || fail "no second try"
echo 0 >"$inbox/answer"
within 20 got 5 || fail "no third try"
kill_daemon
echo 200 >"$inbox/answer"
start_daemon --webhook-network 127.0.0.0/8
verb "$id" cancel
wait_state "$id" cancelled
# A message that waits for its next try is overtaken by a newer one.
told() { [ "$(types | tr ' ' '\n' | sort | xargs)" = "job.cancelled job.queued job.succeeded test" ]; }
within 30 told || fail "told: $(types) $(hooks deliveries "$second")"
jq -se '.[2:] | all(.signed) and ([.[] | select(.body.type == "job.queued").id] | length >= 4 and (unique | length) == 1)' "$inbox/messages" >/dev/null || fail "a message comes again with another id: $(cat "$inbox/messages")"
delivered() { [ "$(hooks deliveries "$second" --json | jq -c '[.items[].state]')" = '["delivered","delivered"]' ]; }
within 20 delivered || fail "$(hooks deliveries "$second")"

# One that was delivered can be had again. 410 ends it.
number=$(hooks deliveries "$second" --json | jq '.items[-1].id')
before=$(wc -l <"$inbox/messages")
echo 410 >"$inbox/answer"
hooks redeliver "$second" "$number" || fail "redelivering"
within 20 got $((before + 1)) || fail "it does not come again"
gone() { hooks show "$second" | jq -e '.enabled == false and (.failure | test("410"))' >/dev/null; }
within 20 gone || fail "410 does not disable: $(hooks show "$second")"
[ "$(hooks deliveries "$second" --json | jq -r '.items[-1] | "\(.state) \(.status)"')" = "dead 410" ] || fail "$(hooks deliveries "$second")"
hooks redeliver "$second" 999999 2>"$tmp/err" && fail "there is no such delivery"
grep -q "no delivery 999999" "$tmp/err" || fail "$(cat "$tmp/err")"
# Whoever asks for a pause gets it.
echo 429 >"$inbox/answer"
hooks add "$to" >"$tmp/added" || fail "adding: $(cat "$tmp/added")"
third=$(sed -n 's/^id: *//p' "$tmp/added")
hooks test "$third" || fail "a test"
paused() {
    hooks deliveries "$third" --json | jq -e '.items[0] | .status == 429 and (.next_at | sub("\\.[0-9]+Z"; "Z") | fromdate) > now + 500' >/dev/null
}
within 20 paused || fail "Retry-After is not heeded: $(hooks deliveries "$third" --json)"
hooks rm "$third" || fail "removing"
hooks rm "$second" && hooks rm "$hook" || fail "removing"
[ "$(hooks --json | jq '.items | length')" = 0 ] || fail "$(hooks)"

# What is no address of a receiver is refused with the reason.
for bad in ftp://a.example/x nothing http://user:word@a.example/ file:///etc/passwd; do
    hooks add "$bad" 2>"$tmp/err" && fail "$bad is taken"
    grep -q "#/url: " "$tmp/err" || fail "$bad: $(cat "$tmp/err")"
done
hooks add "$to" --state nowhere 2>"$tmp/err" && fail "a state that does not exist"
grep -q '#/states: entry 0: expected the name of a job state, got nowhere' "$tmp/err" || fail "$(cat "$tmp/err")"
stop_daemon
