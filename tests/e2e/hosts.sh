#!/bin/bash
# Several hosts: a job whose host is cut off, loses its launcher or its power goes on elsewhere from its
# checkpoint, with the bytes of an undisturbed run; what was cut off ends by itself.
. "${srcdir:?}/tests/e2e/netns.sh" || exit 99

spec='.train.epochs = 40 | .checkpoint = {every_steps: 5, every_epochs: null}'
job "$spec" >"$tmp/whole.json"
"$builddir/distill-worker" train "$tmp/whole.json" --out "$tmp/whole" --set resources.ranks=1 \
    >"$tmp/whole.log" 2>&1 || fail "the undisturbed run: $(tail -3 "$tmp/whole.log")"

coordinator_up
for n in 1 2 3; do
    host_up $n
    echo "$cluster-$n slots=1" >>"$tmp/hostfile"
done
start_daemon --silence 3 --lease 4 --host-retry 1

same_bytes() { # ID
    local f
    for f in student.safetensors metrics.jsonl; do
        cmp -s "$tmp/whole/$f" "$state/jobs/$1/out/$f" || fail "$f differs from the undisturbed run's"
    done
}

placement_is() { # ID "N N..."
    local want='' n
    for n in $2; do
        want+=${want:+,}$cluster-$n:1
    done
    [ "$(get "/api/v1/jobs/$1" .placement)" = "$want" ]
}

attempt_is() { # ID N
    [ "$(get "/api/v1/jobs/$1" .attempt)" -ge "$2" ]
}

node_is() { # N STATE
    [ "$(get /api/v1/nodes ".items[$1 - 1].state")" = "$2" ]
}

workers_on() { # N
    on "$1" pgrep -x distill-worker
}

orteds_on() { # N
    on "$1" pgrep -x orted
}

# Into the N-th attempt, some steps on from where it began.
wait_attempt() { # ID N STEPS
    within 40 attempt_is "$1" "$2" || fail "no attempt $2: $(get "/api/v1/jobs/$1" .reason.message)"
    wait_state "$1" running 40
    within 40 resumed "$1" "$2" "$3" || fail "attempt $2 makes no progress"
}

resumed() { # ID ATTEMPT STEPS
    local from
    from=$(resumed_from "$1" "$2" 2>/dev/null)
    [ -n "$from" ] && { [ "$from" != null ] || [ "$2" = 1 ]; } && has_steps "$1" $((${from/null/0} + $3))
}

# -- A link is cut: rank 0 of two ----------------------------------------------------------------------
submit "$spec"
cut_job=$id
wait_attempt "$cut_job" 1 5
placement_is "$cut_job" "1 2" || fail "placed on $(body .placement)"
[ -n "$(workers_on 1)" ] || fail "no rank on host 1"
cut 1
within 40 attempt_is "$cut_job" 2 || fail "the job does not go on: $(body .reason.message)"
# The lease is over: nobody is left there, and nobody could reach it.
[ -z "$(workers_on 1)" ] || fail "the cut-off rank is there when the next attempt has begun"
placement_is "$cut_job" "2 3" || fail "goes on on $(body .placement)"
node_is 1 down || fail "the cut-off host is not shown down: $text"
ctl nodes >"$tmp/nodes" || fail "distillctl nodes"
grep -q "^$cluster-1 .* down " "$tmp/nodes" || fail "nodes: $(cat "$tmp/nodes")"
wait_state "$cut_job" succeeded 60
same_bytes "$cut_job"
same_metrics "$cut_job"
[ "$(get "/api/v1/jobs/$cut_job/attempts" '[.items[].class] | join(" ")')" = "lost_host " ] || fail "attempts: $text"
mend 1
within 20 node_is 1 up || fail "the host is not used again: $text"

# -- The same for a job of one rank, which could go on alone ------------------------------------------
submit "$spec | .resources.ranks = 1"
alone=$id
wait_attempt "$alone" 1 5
placement_is "$alone" 1 || fail "the host that came back is not used: $(body .placement)"
cut 1
within 40 attempt_is "$alone" 2 || fail "the job does not go on: $(body .reason.message)"
[ -z "$(workers_on 1)" ] || fail "the cut-off rank is there when the next attempt has begun"
wait_state "$alone" succeeded 60
same_bytes "$alone"
mend 1
within 20 node_is 1 up || fail "the host is not used again: $text"

# -- A rank, a launcher and a power supply fail one after the other -----------------------------------
submit "$spec"
wait_attempt "$id" 1 5
on 2 kill -9 $(workers_on 2)
wait_attempt "$id" 2 5
on 1 kill -9 $(orteds_on 1)
within 40 attempt_is "$id" 3 || fail "the job does not go on: $(body .reason.message)"
wait_attempt "$id" 3 5
power_off 2
wait_attempt "$id" 4 1
placement_is "$id" "1 3" || fail "goes on on $(body .placement)"
wait_state "$id" succeeded 60
same_bytes "$id"
[ "$(get "/api/v1/jobs/$id/attempts" '[.items[].class] | join(" ")')" = " lost_host lost_host " ] || fail "attempts: $text"

gone() { # N
    [ -z "$(workers_on "$1")$(orteds_on "$1")" ]
}
for n in 1 3; do
    within 10 gone $n || fail "left on host $n: $(on $n ps ax)"
done
kill_daemon
