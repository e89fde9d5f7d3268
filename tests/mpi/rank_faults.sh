#!/bin/bash
# A rank that dies or computes nonsense ends the whole run, with a message that names it, and leaves no
# process behind; the run goes on from its newest checkpoint and ends in the same bytes.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=4,train=160,test=32,seed=3"},
 "student":{"model":"resnet8"},"train":{"epochs":2,"batch":32,"lanes":4},
 "checkpoint":{"every_steps":2,"keep":2}}
J
must 1 train "$tmp/job.json" --out "$tmp/whole"

no_process() { # WHAT
    for _ in $(seq $((100 * ${PATIENCE:-3}))); do
        pgrep -f "distill-worker train $tmp" >/dev/null || return 0
        sleep 0.05
    done
    fail "$1: a rank runs on"
}

said() { # WHAT PATTERN
    grep -qE "$2" "$tmp/log" || { cat "$tmp/log"; fail "$1: the message does not match $2"; }
}

ended() { # WHAT
    no_process "$1"
    must 2 train "$tmp/job.json" --out "$tmp/$1"
    same "$tmp/whole" "$tmp/$1" "after $1"
    [ "$(jq .resumed_from "$tmp/$1/result.json")" = 2 ] || fail "$1: resumed from $(jq .resumed_from "$tmp/$1/result.json")"
}

for kind in exit abort segv nan; do
    DISTILLD_FAULT=rank:1,step:3,kind:$kind ranks 2 train "$tmp/job.json" --out "$tmp/$kind"
    status=$?
    [ $status != 0 ] || fail "$kind: the run succeeded"
    case $launcher-$kind in
    mpich-exit | mpich-abort | mpich-segv) ;; # it has words of its own
    *-exit) said $kind 'Process name: .*,1\]' ;;
    *-abort) said $kind 'process rank 1 .*signal 6' ;;
    *-segv) said $kind 'process rank 1 .*signal 11' ;;
    *-nan)
        [ $status = 1 ] || fail "nan: status $status"
        ! grep -qi nan "$tmp/nan/metrics.jsonl" || fail "nan: metrics.jsonl is no JSON any more"
        said $kind 'distill-worker train: diverged: step 4, learning rate 0.1: the gradient is not a finite number .*: computed again, every node gives finite values: the gradient of conv1.weight '
        ;;
    esac
    ended $kind
done

# Steps that take longer are the same steps.
began=$(date +%s%N)
DISTILLD_FAULT=slow:100 must 2 train "$tmp/job.json" --out "$tmp/slow"
[ $(($(date +%s%N) - began)) -ge 1000000000 ] || fail "slow: ten steps took less than a second"
same "$tmp/whole" "$tmp/slow" "slow"

# A fault that nobody can have meant does not go unnoticed.
for spec in rank:1,step:3,kind:hiccup rank:1,step:3 rank:x,step:3,kind:exit rank:1,step:3,kind:exits \
    io:wrote:1 io:write:0 io:write:x io:write:3x slow slow:x slow:-1 slow:40ms; do
    DISTILLD_FAULT=$spec "$worker" train "$tmp/job.json" --out "$tmp/odd" >"$tmp/log" 2>&1
    [ $? = 2 ] || fail "$spec: status $?: $(cat "$tmp/log")"
    said "$spec" "DISTILLD_FAULT: expected rank:R,step:S,kind:exit\|abort\|.* got \"$spec\""
done

# A job that diverges by itself: the node that made the first value that is no number, the same whatever the
# ranks. Nothing of that step is logged or kept.
for n in 1 2; do
    ranks $n train "$tmp/job.json" --out "$tmp/diverged$n" --set optimizer.lr=1e12 --set checkpoint.every_steps=1
    status=$?
    [ $status = 1 ] || { cat "$tmp/log"; fail "diverging on $n ranks: status $status"; }
    said diverged 'diverged: step [0-9]+, learning rate 1e\+12: the (loss|gradient) is not a finite number'
    grep -oE 'diverged: step.*' "$tmp/log" >"$tmp/diverged$n.log"
    step=$(grep -oE 'step [0-9]+' "$tmp/diverged$n.log" | head -1 | cut -d' ' -f2)
    [ "$(ls "$tmp/diverged$n/checkpoints" | tail -1)" = "$(printf 'step-%09d.safetensors' $((step - 1)))" ] || fail "the last good checkpoint of $step steps is not kept"
    ! grep -E "null|\"step\":$step," "$tmp/diverged$n/metrics.jsonl" || fail "a step that was not taken is logged"
done
grep -E 'first in lane [0-3] on rank 0, node %[0-9, %]+ = [A-Za-z]+\(.*: element [0-9]+ of [0-9]+( of the [a-z]+ output)? is -?(inf|nan)' "$tmp/diverged1.log" || { cat "$tmp/diverged1.log"; fail "no node is named"; }
diff <(sed 's/ on rank [0-9]*//' "$tmp/diverged1.log") <(sed 's/ on rank [0-9]*//' "$tmp/diverged2.log") || fail "the first node depends on the ranks"
same "$tmp/diverged1" "$tmp/diverged2" "diverged"

# Kill -9 in a rank that stands still: the others, which wait for it, end too.
line=$(mpirun_line 2 train "$tmp/job.json" --out "$tmp/killed")
DISTILLD_FAULT=rank:1,step:3,kind:spin bash -c "exec $line" >"$tmp/log" 2>&1 &
pid=$!
for _ in $(seq $((200 * ${PATIENCE:-3}))); do
    [ -e "$tmp/killed/checkpoints/step-000000002.json" ] && break
    sleep 0.05
done
[ -e "$tmp/killed/checkpoints/step-000000002.json" ] || fail "killed: no checkpoint: $(cat "$tmp/log")"
for worker_pid in $(pgrep -f "distill-worker train $tmp/job.json --out $tmp/killed"); do
    tr '\0' '\n' <"/proc/$worker_pid/environ" 2>/dev/null | grep -qxE '(OMPI_COMM_WORLD|PMI)_RANK=1' &&
        kill -9 "$worker_pid"
done
wait $pid
[ $? != 0 ] || fail "killed: the run succeeded"
[ $launcher = mpich ] || said killed 'process rank 1 .*signal 9'
ended killed
exit 0
