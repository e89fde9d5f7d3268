#!/bin/bash
# A browser's session: a cookie for the token, which reads, and writes only from our own pages.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
[ "$(stat -c %a "$state/token")" = 600 ] || fail "the token is readable by others"
[ "$(stat -c %a "$state")" = 700 ] || fail "the state folder is open to others"

http POST /api/v1/session
problem 401 unauthorized "a session for nothing"
api POST /api/v1/session
expect 204 "a session"
header set-cookie
cookie=$value
for part in HttpOnly SameSite=Strict Path=/; do
    [[ "$cookie;" == *"; $part;"* ]] || fail "cookie without $part: $cookie"
done
! grep -qF "$token" <<<"$cookie" || fail "the token is in the cookie"
cookie=${cookie%%;*}

reads() { # WHEN
    http GET /api/v1/jobs "Cookie: theme=dark; $cookie; x=y"
    expect 200 "reading with the cookie $1"
    http HEAD /api/v1/events "Cookie: $cookie"
    expect 200 "events with the cookie $1"
    [ -z "$text" ] || fail "an answer to HEAD has a body: $text"
}
reads "at first"
http GET /api/v1/jobs "Cookie: ${cookie}0; $cookie; ${cookie%%=*}=x"
expect 200 "the good one of several cookies"
http GET /api/v1/jobs "Cookie: ${cookie%%=*}=$(printf 'x%.0s' {1..100}); $cookie"
expect 200 "a good cookie behind a long one"
# Browsers keep cookies by name and host, whatever the port is.
for at in 127.0.0.1:1 localhost:2 '[::1]:3'; do
    host=$at api POST /api/v1/session
    expect 204 "a session under $at"
    header set-cookie
    [[ $value == "distilld_session_${at##*:}="* ]] || fail "the cookie of $at: $value"
    http GET /api/v1/jobs "Cookie: ${value%%;*}"
    expect 200 "the cookie of $at"
done
host='[::1]' api POST /api/v1/session
header set-cookie
[[ $value == distilld_session=* ]] || fail "the cookie of no port: $value"
for scheme in bearer BEARER; do
    http GET /api/v1/jobs "Authorization: $scheme $token"
    expect 200 "Authorization: $scheme"
done

# Not everything that looks like it.
for bad in "${cookie}0" "${cookie%?}" "${cookie%%=*}=" "${cookie%%=*}=$token" "x$cookie" "x=1, $cookie" \
    "${cookie/=/x=}" "${cookie/=/_1x=}"; do
    http GET /api/v1/jobs "Cookie: $bad"
    problem 401 unauthorized "Cookie: $bad"
done
http POST /api/v1/session "Cookie: $cookie" 'X-Distilld-Request: 1'
problem 401 unauthorized "a session from a session"

# Writing needs what another site's page cannot send.
submit '.hold = true'
http POST "/api/v1/jobs/$id:cancel" "Cookie: $cookie"
problem 403 forbidden "a write with the cookie alone"
payload=$(job)
http POST /api/v1/jobs "Cookie: $cookie" 'Content-Type: application/json'
payload=
problem 403 forbidden "a submission with the cookie alone"
http POST "/api/v1/jobs/$id:cancel" "Cookie: $cookie" 'X-Distilld-Request: 1'
expect 202 "a write from our page"
wait_state "$id" cancelled

# It can be ended, by our own pages; what it has opened ends with it, and the token's other sessions go on.
stream_ended() {
    ! kill -0 $stream 2>/dev/null
}
api POST /api/v1/session
header set-cookie
left=${value%%;*}
curl -sSN --max-time $((60 * PATIENCE)) -o "$tmp/events" -H @- "$url/api/v1/events" <<<"Cookie: $left" &
stream=$!
within 5 grep -qs '^event: snapshot' "$tmp/events" || fail "no stream for a session"
http DELETE /api/v1/session "Cookie: $left"
problem 403 forbidden "the end of a session without our header"
api DELETE /api/v1/session
problem 422 invalid "the end of no session"
[[ $text == *'expected the cookie of a session'* ]] || fail "the end of no session: $text"
http DELETE /api/v1/session "Cookie: $left" 'X-Distilld-Request: 1'
expect 204 "the end of a session"
header set-cookie
[[ "$value;" == "${left%%=*}=; "*"; Max-Age=0; HttpOnly;"* ]] || fail "the cookie stays: $value"
within 5 stream_ended || fail "the stream of a session that has ended goes on"
http GET /api/v1/jobs "Cookie: $left"
problem 401 unauthorized "a session that has ended"
http GET /api/v1/jobs "Cookie: $cookie"
expect 200 "another session of the same token"

# -- Tokens by name, scope and end --
made() { # NAME [OPTION]...: its id in $made; its secret in the file NAME
    ctl --json token create "$@" >"$tmp/made" || fail "token create $*"
    made=$(jq -r .id "$tmp/made")
    jq -r .token "$tmp/made" >"$tmp/$1"
}
by() { # NAME COMMAND...
    "$builddir/distillctl" --server "$url" --token-file "$tmp/$1" "${@:2}"
}
made reader
[[ $(<"$tmp/reader") =~ ^dst_${made}_[0-9a-f]{64}$ ]] || fail "the form of a token: $(<"$tmp/reader")"
by reader list >"$tmp/said" || fail "a reader cannot list"
said=$(job | by reader submit - 2>&1) && fail "a reader submits"
[[ $said == *"needs the scope submit; the token $made has read"* ]] || fail "a reader submits: $said"
reader=$made
made second --scope operate --days 1
by second drain || fail "an operator cannot drain"
by second resume || fail "an operator cannot resume"
said=$(by second token 2>&1) && fail "an operator lists tokens"
[[ $said == *"needs the scope admin"* ]] || fail "an operator lists tokens: $said"
ctl token >"$tmp/said"
grep -qE "^$made +second +operate +- +active" "$tmp/said" || fail "the list of tokens: $(<"$tmp/said")"
for bad in "x --days 366" "x --days 0" "x --scope root" "x --scope admin --project lab" "x --project -" "$(printf 'a%.0s' {1..65})"; do
    # shellcheck disable=SC2086
    ctl token create $bad >"$tmp/said" 2>&1
    [ $? -eq 2 ] && grep -qE '#/(scope|expires_in_s|name|project): expected' "$tmp/said" || fail "token create $bad: $(<"$tmp/said")"
done
# Each token has its own keys: nobody is given the answer to another's request.
keyed() { # TOKEN: the id of the job in $got
    payload=$(job '.train.max_steps = 1')
    http POST /api/v1/jobs "Authorization: Bearer $1" 'Content-Type: application/json' 'Idempotency-Key: "one"'
    payload=
    expect 202 "a key of a token"
    got=$(body .id)
}
keyed "$token"
ours=$got
keyed "$(<"$tmp/second")"
others=$got
[ "$ours" != "$others" ] || fail "a token is given the job of another"
keyed "$(<"$tmp/second")"
[ "$got" = "$others" ] || fail "the same key of the same token is another job"
wait_state "$ours" succeeded
wait_state "$others" succeeded
# For a token of a project there are no other jobs.
ctl token create lab --scope submit --project lab >"$tmp/lab" 2>"$tmp/said" || fail "a token of a project: $(<"$tmp/said")"
grep -q 'scope submit, project lab' "$tmp/said" || fail "a token of a project: $(<"$tmp/said")"
said=$(by lab show "$ours" 2>&1) && fail "a job of another project is shown"
[[ $said == *"there is no job $ours"* ]] || fail "a job of another project: $said"
[ "$(by lab --json list | jq -c .items)" = '[]' ] || fail "jobs of other projects are listed"
keyed "$(<"$tmp/lab")"
[ "$(get "/api/v1/jobs/$got" .project)" = lab ] || fail "a job of a token of a project: $text"
wait_state "$got" succeeded
job | tee "$tmp/a.json" >"$tmp/b.json"
by lab submit "$tmp/a.json" "$tmp/b.json" >"$tmp/ids" || fail "a batch by a token of a project: $(<"$tmp/ids")"
[ "$(by lab list --json --owner root | jq -c .items)" = '[]' ] || fail "jobs of other owners are listed"
lab=$(sed -n 's/^dst_\([^_]*\)_.*/\1/p' "$tmp/lab")
[ "$(ctl list --json --owner "$lab" | jq -c '[.items[].owner] | [length > 0, unique]')" = "[true,[\"$lab\"]]" ] ||
    fail "the jobs of a token: $(ctl list --json --owner "$lab")"
[[ $(ctl show "$ours") == *$'\nowner '*"$(get "/api/v1/jobs/$ours" .owner)"$'\n'* ]] || fail "whose a job is: $(ctl show "$ours")"
for got in $(<"$tmp/ids"); do
    [[ $got != job_* ]] || [ "$(get "/api/v1/jobs/$got" '[.project, .spec.project] | tostring')" = '["lab","lab"]' ] || fail "a batch by a token of a project: $text"
    [[ $got != job_* ]] || wait_state "$got" succeeded
done
# Rotated with an overlap both secrets work; a stream ends with the token, and so does a session.
cp "$tmp/reader" "$tmp/before"
ctl token rotate "$reader" --overlap 600 >"$tmp/reader" 2>"$tmp/said" || fail "token rotate: $(<"$tmp/said")"
! cmp -s "$tmp/reader" "$tmp/before" || fail "rotate gave the same secret"
by before list >"$tmp/said" && by reader list >"$tmp/said" || fail "two secrets in the overlap"
http POST /api/v1/session "Authorization: Bearer $(<"$tmp/reader")"
expect 204 "a session for a reader"
header set-cookie
theirs=${value%%;*}
http GET /api/v1/jobs "Cookie: $theirs"
expect 200 "a session for a reader"
token=$(<"$tmp/reader") listen_events "$tmp/events" ""
stream=$!
within 5 grep -qs '^event: snapshot' "$tmp/events" || fail "no stream for a reader"
ctl token revoke "$reader" || fail "token revoke"
ctl token revoke "$reader" || fail "revoking twice"
within 5 stream_ended || fail "the stream of a revoked token goes on"
http GET /api/v1/jobs "Cookie: $theirs"
problem 401 unauthorized "the session of a revoked token"
said=$(by reader list 2>&1) && fail "a revoked token reads"
[ "$(by reader list >/dev/null 2>&1; echo $?)" = 2 ] || fail "status for a revoked token"
[[ $said == *"has been revoked"* ]] || fail "a revoked token: $said"
ctl token revoke nobody 2>"$tmp/said" && fail "a token that is not there is revoked"

# -- The UNIX socket: who one is, is enough for root and the daemon's user --
[ "$(stat -c %a "$state/api.sock")" = 600 ] || fail "the socket is open to others"
ctl token list >"$tmp/said" || fail "no admin by the socket"
by_socket() { # CURL-OPTION...: status in $code
    code=$(curl -sS --max-time 15 --unix-socket "${socket:-$state/api.sock}" -o "$tmp/body" -w '%{http_code}' "$@") || code=000
    text=$(<"$tmp/body")
}
by_socket http://localhost/api/v1/tokens
expect 200 "the socket"
by_socket -H "Authorization: Bearer $(<"$tmp/second")" http://localhost/api/v1/tokens
expect 403 "a token counts, and nothing beside it"
by_socket -H "Host: evil.example" http://localhost/api/v1/tokens
expect 403 "another host by the socket"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    # Even where the modes of file and folder would let them.
    chmod 711 "$tmp" "$state"
    chmod 666 "$state/api.sock"
    code=$(setpriv --reuid 65534 --regid 65534 --clear-groups curl -sS --max-time 15 --unix-socket "$state/api.sock" \
        -w '%{http_code}' http://localhost/api/v1/jobs)
    [[ $code == *"not user 65534"*403 ]] || fail "another user by the socket: $code"
    chmod 600 "$state/api.sock"
    chmod 700 "$tmp" "$state"
fi
[[ $(ctl dashboard) == "$url/#token=$token" ]] || fail "the dashboard's address: $(ctl dashboard)"
[ "$("$builddir/distillctl" --server "unix:$state/api.sock" show --json "$id")" = "$(ctl show --json "$id")" ] || fail "--server unix:PATH"

# -- The audit log knows all of that, and no secret --
audit() { # what it says in $said
    said=$(ctl audit "$@" 2>&1)
}
audit --last 500 || fail "audit: $said"
for row in "root +127.0.0.1 +202 +POST +/api/v1/jobs +$id" "uid:$(id -u) +unix +201 +POST +/api/v1/tokens +$reader" \
    "root:session .* +202 +POST +/api/v1/jobs/$id:cancel +$id" "$made .* +200 +POST +/api/v1/queue:pause" \
    "uid:$(id -u) +unix +204 +DELETE +/api/v1/tokens/$reader" \
    "$reader .* +403 +POST +/api/v1/jobs" "root:session .* +403 +POST +/api/v1/jobs/$id:cancel"; do
    grep -qE "$row" <<<"$said" || fail "the audit log lacks \"$row\": $said"
done
api GET "/api/v1/audit?page_size=2"
[ "$(body '.items | length')" = 2 ] || fail "a page of two: $text"
header link
[[ $value == *'page_token='*'rel="next"'* ]] || fail "a page has no next one: $value"
audit --verify || fail "audit --verify: $said"
[[ $said =~ ^([0-9]+)\ rows,\ unbroken\;\ head\ (([0-9]+):[0-9a-f]{64})$ ]] || fail "audit --verify: $said"
rows=${BASH_REMATCH[1]} kept=${BASH_REMATCH[2]}
submit '.train.max_steps = 1'
wait_state "$id" succeeded
audit --verify --head "$kept" && [[ $said == "$((rows + 1)) rows, unbroken;"* ]] || fail "an earlier head: $said"
audit --verify --head "$rows:$(printf '0%.0s' {1..64})" && fail "a head that never was: $said"
[[ $said == *"is no part of the chain"* ]] || fail "a head that never was: $said"

problems_are_whole

# It outlives the daemon; tokens and cookies stand in no log and in no file that others read.
stop_daemon
[ ! -e "$state/api.sock" ] || fail "the socket is still there"
start_daemon --socket "$tmp/own.sock" # that of a daemon that was killed is taken over
kill_daemon
start_daemon --socket "$tmp/own.sock" --auth-failures 3
socket=$tmp/own.sock by_socket http://localhost/api/v1/tokens
expect 200 "--socket"
reads "after a restart"
by second list >"$tmp/said" || fail "a token does not outlive the daemon"
# Wrong tokens are counted, and whoever shows too many must wait; the socket stays open.
for want in 401 401 401 429 429; do
    http GET /api/v1/jobs "Authorization: Bearer dst_${made}_$(printf '0%.0s' {1..64})"
    expect $want "a wrong token"
done
problem 429 rate_limited "too many wrong tokens"
header retry-after
[ "$value" -ge 1 ] && [ "$value" -le 60 ] || fail "Retry-After: $value"
[[ $text == *"\"retryable\":true,\"retry_after_s\":$value"* ]] || fail "too many wrong tokens: $text"
socket=$tmp/own.sock by_socket http://localhost/api/v1/tokens
expect 200 "the socket, when the address must wait"
secrets=(-e "$token" -e "${cookie#*=}" -e "$(<"$tmp/reader")" -e "$(<"$tmp/second")")
! grep -qF "${secrets[@]}" "$tmp/daemon.log" || fail "a secret is in the log"
! grep -rqF --exclude=token "${secrets[@]}" "$state" || fail "a secret is in the state folder"
! tr '\0' '\n' <"/proc/$daemon/cmdline" | grep -qF "$token" || fail "the token is in argv"
stop_daemon

# Whoever changes the file is found out, at the row; a lost end only by a head that was kept.
command -v sqlite3 >/dev/null || { echo "sqlite3 is not installed: nobody changes the audit log"; exit 0; }
forge() { # SQL
    sqlite3 "$state/state.db" "DROP TRIGGER IF EXISTS audit_stays; DROP TRIGGER IF EXISTS audit_keeps; $1" || fail "sqlite3: $1"
    start_daemon
}
cp "$state/state.db" "$tmp/kept.db"
forge "UPDATE audit SET caller = 'somebody' WHERE seq = 3"
audit --verify && fail "a row that was changed: $said"
[[ $said == *"row 3 is broken"* ]] || fail "a row that was changed: $said"
stop_daemon
cp "$tmp/kept.db" "$state/state.db"
forge "DELETE FROM audit WHERE seq = 4"
audit --verify && fail "a row that was taken out: $said"
[[ $said == *"row 4 is missing"* ]] || fail "a row that was taken out: $said"
stop_daemon
cp "$tmp/kept.db" "$state/state.db"
forge "DELETE FROM audit WHERE seq >= $rows"
audit --verify || fail "a shorter log is whole: $said"
audit --verify --head "$kept" && fail "a lost end: $said"
stop_daemon
