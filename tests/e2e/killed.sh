#!/bin/bash
# What was acknowledged is there: submissions against a daemon that is killed again and again.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

rounds=20
start_daemon
submit "$long | .resources.ranks = 1" # all others need two slots, so that they stay in the queue
running=$id
wait_state "$running" running
before=$(pids_of worker)

submitter() {
    local n=0 payload
    trap : PIPE # a daemon that is gone is an answer, too; a subshell forgets the traps of its parent
    while [ ! -e "$tmp/enough" ]; do
        { read -r address <"$state/address"; } 2>/dev/null || { pause 0.02; continue; }
        address=${address#http://}
        address=${address%:*}/${address##*:}
        payload='{"kind":"train","name":"n'$n'","data":{"source":"procedural:classes=4"},"student":{"model":"resnet8"},"resources":{"ranks":2}}'
        api POST /api/v1/jobs 'Content-Type: application/json'
        if [ "$code" = 202 ] && [[ $text =~ \"id\":\"(job_[0-9A-Z]{26})\" ]]; then
            echo "${BASH_REMATCH[1]} n$n" >>"$tmp/acked"
            n=$((n + 1))
        else
            pause 0.01
        fi
    done
}
submitter &
submitter=$!

lines() {
    local n=0
    [ ! -e "$tmp/acked" ] || n=$(wc -l <"$tmp/acked")
    [ "$n" -ge "$1" ]
}
have=0
for ((i = 0; i < rounds; i++)); do
    within 10 lines $((have + 1 + RANDOM % 4)) || fail "no submission is acknowledged in round $i"
    kill_daemon
    have=$(wc -l <"$tmp/acked")
    start_daemon
done
touch "$tmp/enough"
wait $submitter

# All of them, once, with their names, in the order of their ids; and perhaps some whose answer was lost.
page=
: >"$tmp/list"
while [ "$page" != null ]; do
    api GET "/api/v1/jobs?page_size=100${page:+&page_token=$page}"
    expect 200 "a page"
    body '.items[] | "\(.id) \(.name)"' >>"$tmp/list"
    page=$(body .next_page_token)
done
sort -cr "$tmp/list" || fail "the list is not newest first"
[ -z "$(cut -d' ' -f1 "$tmp/list" | uniq -d)" ] || fail "an id was given twice"
missing=$(grep -vxFf "$tmp/list" "$tmp/acked")
[ -z "$missing" ] || fail "acknowledged and lost: $missing"
echo "$(wc -l <"$tmp/acked") acknowledged, $(wc -l <"$tmp/list") in the list"

# All that time the same ranks were at work, and the daemon can still change things.
[ "$(pids_of worker)" = "$before" ] || fail "the ranks are others"
state_is "$running" running || fail "the running job is $now"
read -r id name < <(tail -1 "$tmp/acked")
verb "$id" cancel
state_is "$id" cancelled || fail "a job of the list is $now after cancel"
# The end: without the daemon, or the queue would start.
kill_daemon
# shellcheck disable=SC2046
kill -9 $(attempt_pids)
