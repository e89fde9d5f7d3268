#!/bin/bash
# Several hosts: a job whose host is cut off, loses its launcher or its power goes on elsewhere from its
# checkpoint, with the bytes of an undisturbed run; what was cut off ends by itself.
. "${srcdir:?}/tests/e2e/netns.sh" || exit 99

spec='.train.epochs = 24 | .train.eval_every_epochs = 10 | .checkpoint = {every_steps: 5, every_epochs: null}'
job "$spec" >"$tmp/whole.json"
DISTILLD_FAULT=slow:0 "$builddir/distill-worker" train "$tmp/whole.json" --out "$tmp/whole" --set resources.ranks=1 \
    >"$tmp/whole.log" 2>&1 || fail "the undisturbed run: $(tail -3 "$tmp/whole.log")"

coordinator_up
for n in 1 2 3 4 5; do
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
    api GET "/api/v1/jobs/$1"
    [[ $text =~ \"attempt\":([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge "$2" ]
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

# Running as the N-th attempt, some steps on from where that began.
wait_attempt() { # ID N STEPS
    within 40 attempt_is "$1" "$2" || fail "no attempt $2: $(get "/api/v1/jobs/$1" .reason.message)"
    wait_state "$1" running 40
    within 40 began_and_went_on "$@" || fail "attempt $2 makes no progress"
}

began_and_went_on() { # ID ATTEMPT STEPS
    local started went_on_from
    read_starts "$1"
    [ ${#started[@]} = "$2" ] && has_steps "$1" $((went_on_from + $3))
}

# After the cut of host N in the first attempt: the next one begins when nobody is left there, where
# nobody could end it from outside.
nobody_left() { # ID N
    within 40 attempt_is "$1" 2 || fail "the job does not go on: $(get "/api/v1/jobs/$1" .reason.message)"
    [ -z "$(workers_on "$2")" ] || fail "the rank on host $2 lives although the next attempt has begun"
}

ends_well() { # ID
    wait_state "$1" succeeded 60
    same_bytes "$1"
    same_metrics "$1"
}

classes_are() { # ID "CLASS..."
    local got
    got=$(get "/api/v1/jobs/$1/attempts" '[.items[] | .class // ""] | join(" ")')
    [ "$got" = "$2" ] || fail "attempts ended: $got"
}

# -- Two links are cut: of rank 0 of two, and of a rank that could go on alone. Its shim is killed, too, so
# that only its lease tells when it is gone ----------------------------------------------------------
submit "$spec"
pair=$id
wait_attempt "$pair" 1 5
cut_link 1
placement_is "$pair" "1 2" || fail "placed on $(get "/api/v1/jobs/$pair" .placement)"
submit "$spec | .resources.ranks = 1"
alone=$id
wait_attempt "$alone" 1 5
cut_link 3
nobody_left "$pair" 1 &
killed=$SECONDS
kill -9 "$(pgrep -f "^[^ ]*/distill-shim .*/$alone/")"
nobody_left "$alone" 3
[ $((SECONDS - killed)) -ge 4 ] || fail "the next attempt did not wait for the end of the lease"
wait $! || exit 1
within 40 node_is 1 down || fail "the cut-off host is not shown down: $(ctl nodes)"
ctl nodes >"$tmp/nodes" || fail "distillctl nodes"
grep -q "^$cluster-1 .* down " "$tmp/nodes" || fail "nodes: $(cat "$tmp/nodes")"
ends_well "$pair"
[[ $(get "/api/v1/jobs/$pair" .placement) != *"$cluster-1:"* ]] || fail "goes on on the host that is cut off"
classes_are "$pair" "lost_host "
ends_well "$alone"
for n in 1 3; do
    mend_link $n
done
for n in 1 3; do
    within 20 node_is $n up || fail "a host that is back is not used again: $(ctl nodes)"
done

# -- The daemon is killed; then a rank, a launcher and a power supply fail ---------------------------
submit "$long | .train.eval_every_epochs = 10"
wait_attempt "$id" 1 5
kill_daemon
start_daemon --silence 3 --lease 4 --host-retry 1
[ "$(get /api/v1/nodes '[.items[].used] | join(" ")')" = "1 1 0 0 0" ] || fail "slots after a restart: $(ctl nodes)"
went_on() {
    [ "$(get "/api/v1/jobs/$id" .progress.step)" -gt "$before" ]
}
before=$(grep -c '"loss/total"' "$state/jobs/$id/out/metrics.jsonl")
within 20 went_on || fail "the ranks do not find the new daemon"

# shellcheck disable=SC2046
on 2 kill -9 $(workers_on 2)
wait_attempt "$id" 2 5
# shellcheck disable=SC2046
on 1 kill -9 $(orteds_on 1)
wait_attempt "$id" 3 5
last=$(get "/api/v1/jobs/$id" '.placement | split(",")[1] | split(":")[0]')
power_off "${last##*-}"
wait_attempt "$id" 4 5
why=$(get "/api/v1/jobs/$id/attempts" '.items[2].message')
[[ $why == *" on node $last" ]] || fail "the host without power is not named: $why"
[[ $(get "/api/v1/jobs/$id" .placement) != *"$last"* ]] || fail "goes on on a host without power: $(body .placement)"
classes_are "$id" "infra lost_host lost_host "
verb "$id" cancel
wait_state "$id" cancelled 40
# The first 60 steps: later the learning rate, which follows the length of the run, is not the same.
within_both() { # METRICS.JSONL
    jq -c "select(.step <= $common)" "$1"
}
common=$(jq -s 'map(.step) | max' "$state/jobs/$id/out/metrics.jsonl")
[ "$common" -le 60 ] || common=60
cmp <(within_both "$tmp/whole/metrics.jsonl") <(within_both "$state/jobs/$id/out/metrics.jsonl") ||
    fail "metrics differ from the undisturbed run's"

left_on() { # N
    workers_on "$1"
    orteds_on "$1"
}
all_gone() {
    local n
    for n in 1 2 3 4 5; do
        [ "$n" = "${last##*-}" ] || [ -z "$(left_on $n)" ] || return 1
    done
}
within 20 all_gone || fail "processes are left on the hosts: $(for n in 1 2 3 4 5; do left_on $n; done)"

# -- A host that is away already when it is wanted ---------------------------------------------------
kill_daemon # what it knew of its hosts goes with it
start_daemon --host-retry 60
cut_link 1
submit '.resources.ranks = 1 | .train.max_steps = 2'
wait_state "$id" succeeded 60
[[ $(get "/api/v1/jobs/$id/attempts" '.items[0] | "\(.placement) \(.class) \(.message)"') == "$cluster-1:1 lost_host ssh: connect to host $cluster-1 "* ]] ||
    fail "no word that the host is away: $(get "/api/v1/jobs/$id/attempts" .)"
kill_daemon
