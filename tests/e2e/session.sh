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
}
reads "at first"

# Not everything that looks like it.
for bad in "${cookie}0" "${cookie%?}" "${cookie%%=*}=" "${cookie%%=*}=$token" "x$cookie" "x=1, $cookie"; do
    http GET /api/v1/jobs "Cookie: $bad"
    problem 401 unauthorized "Cookie: $bad"
done
http POST /api/v1/session "Cookie: $cookie" 'X-Distilld-Request: 1'
problem 401 unauthorized "a session from a session"

# Writing needs what another site's page cannot send.
submit '.train.epochs = 1'
http POST "/api/v1/jobs/$id:cancel" "Cookie: $cookie"
problem 403 forbidden "a write with the cookie alone"
payload=$(job)
http POST /api/v1/jobs "Cookie: $cookie" 'Content-Type: application/json'
payload=
problem 403 forbidden "a submission with the cookie alone"
http POST "/api/v1/jobs/$id:cancel" "Cookie: $cookie" 'X-Distilld-Request: 1'
expect 202 "a write from our page"
wait_state "$id" cancelled

problems_are_whole

# It outlives the daemon; tokens and cookies stand in no log and in no file that others read.
stop_daemon
start_daemon
reads "after a restart"
! grep -qF -e "$token" -e "${cookie#*=}" "$tmp/daemon.log" || fail "a secret is in the log"
! grep -rqF --exclude=token -e "$token" -e "${cookie#*=}" "$state" || fail "a secret is in the state folder"
! tr '\0' '\n' <"/proc/$daemon/cmdline" | grep -qF "$token" || fail "the token is in argv"
stop_daemon
