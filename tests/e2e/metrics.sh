#!/bin/bash
# What monitoring reads: /metrics in the OpenMetrics format, /healthz, /readyz.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
for path in /healthz /readyz; do
    http GET $path
    [ "$code" = 200 ] || fail "$path: $code"
done
http GET /metrics
problem 401 unauthorized "/metrics without a token"

# Every line of it: a family is declared before its samples and once; names, labels and numbers are well
# formed; no sample stands there twice; the end is marked.
check() {
    api GET /metrics
    expect 200 /metrics
    header content-type
    [[ $value == application/openmetrics-text* ]] || fail "type: $value"
    awk '
    function bad(why) { print "line " NR ": " why ": " $0; failed = 1 }
    ended { bad("after # EOF") }
    /^# EOF$/ { ended = 1; next }
    /^# (TYPE|HELP|UNIT) / {
        if ($3 !~ /^[a-zA-Z_:][a-zA-Z0-9_:]*$/) bad("name")
        if (($2, $3) in seen) bad("declared twice")
        seen[$2, $3] = 1
        if ($3 != family && ($3 in families)) bad("families are mixed")
        family = $3; families[$3] = 1
        if ($2 == "TYPE") { if ($4 !~ /^(gauge|counter|info|histogram|summary|stateset|unknown)$/) bad("type"); type[$3] = $4 }
        if ($2 == "UNIT" && $3 !~ ("_" $4 "$")) bad("unit")
        next
    }
    {
        if (!match($0, /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)+\})? -?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$/)) { bad("form"); next }
        name = $0; sub(/[{ ].*/, "", name)
        want = family
        if (type[family] == "info") want = family "_info"
        if (type[family] == "counter") want = family "_total"
        if (type[family] == "histogram") sub(/_(bucket|sum|count)$/, "", name)
        if (name != want) bad("sample of " family)
        key = $0; sub(/ [^ ]*$/, "", key)
        if (key in keys) bad("twice")
        keys[key] = 1; n++
    }
    END { if (!ended) { print "no # EOF"; failed = 1 } if (n < 10) { print n " samples"; failed = 1 } exit failed }' \
        <<<"${text%$'\n'}" || fail "/metrics"
    # promtool reads the older format, for those who ask for it.
    if command -v promtool >/dev/null; then
        api GET /metrics 'Accept: text/plain'
        promtool check metrics <<<"${text%$'\n'}" >"$tmp/promtool" 2>&1 || fail "promtool: $(cat "$tmp/promtool") $text"
        api GET /metrics 'Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5'
    fi
}

sample() { # NAME VALUE
    [[ $text == *$'\n'"$1 $2"$'\n'* ]] || fail "$1 is not $2: $text"
}
check
for s in queued starting running succeeded failed cancelled; do
    sample "distilld_jobs{state=\"$s\"}" 0
done
sample 'distilld_slots{use="free"}' 2
sample distilld_sse_clients 0

submit "$long"
wait_state "$id" running
submit '.train.max_steps = 1'
queued=$id
listen_events "$tmp/stream" ""
counted() {
    check
    [[ $text == *"distilld_sse_clients 1"* ]]
}
within 5 counted || fail "clients: $text"
sample 'distilld_jobs{state="running"}' 1
sample 'distilld_jobs{state="queued"}' 1
sample 'distilld_slots{use="held"}' 2
sample distilld_job_submissions_total 2
sample distilld_queue_paused 0
for name in distilld_schedule_cycle_seconds distilld_db_commit_seconds; do
    [[ $text == *$'\n'"${name}_count "[1-9]* ]] || fail "$name counts nothing: $text"
done
checkpoints() {
    check
    [[ $text == *$'\n'"distilld_checkpoint_write_seconds_count "[1-9]* ]]
}
within 20 checkpoints || fail "no checkpoint is counted: $text"
[[ $text == *$'\n'"distilld_worker_heartbeat_age_seconds "[0-9]* ]] || fail "no heartbeat: $text"
[[ $text != *job_[0-9]* ]] || fail "an id of a job among the labels"
verb "$queued" cancel
verb "$(get /api/v1/jobs '.items[-1].id')" cancel
wait_state "$(get /api/v1/jobs '.items[-1].id')" cancelled
check
sample 'distilld_jobs{state="cancelled"}' 2
sample 'distilld_slots{use="free"}' 2
stop_daemon
