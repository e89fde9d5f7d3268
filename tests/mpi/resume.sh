#!/bin/bash
# A run that is killed with -9 at a random step and resumed on other numbers of ranks ends in the bytes of
# an undisturbed run. The job has a projector with dropout.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
seed=${TEST_SEED:-$RANDOM}
echo "TEST_SEED=$seed"
RANDOM=$seed

data='"source":"procedural:classes=4,train=104,test=20,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"mobilenetv2"},
 "train":{"epochs":1,"batch":16,"max_steps":2}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"mobilenetv2","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd","weight":2}],
 "train":{"epochs":4,"batch":16,"lanes":4,"seed":9},"checkpoint":{"every_steps":3,"keep":2}}
J
must 1 train "$tmp/teacher.json" --out "$tmp/teacher"
must 2 train "$tmp/job.json" --out "$tmp/whole"
total=$(jq .steps "$tmp/whole/result.json")

steps() {
    local n
    n=$(grep -c '"loss/total"' "$1/metrics.jsonl" 2>/dev/null)
    echo "${n:-0}"
}

for n in 2 1 4; do
    # Kill -9, again and again, at a random step further on, with a random number of ranks.
    out=$tmp/killed$n
    at=0
    while :; do
        at=$((at + 1 + RANDOM % 12))
        [ $at -lt "$total" ] || break
        r=$((1 << RANDOM % 3))
        line=$(mpirun_line $r train "$tmp/job.json" --out "$out")
        bash -c "exec $line" >"$tmp/log" 2>&1 &
        pid=$!
        while [ "$(steps "$out")" -lt $at ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
        pkill -9 -f "distill-worker train $tmp/job.json --out $out"
        wait $pid 2>/dev/null
        while pgrep -f "distill-worker train $tmp/job.json --out $out" >/dev/null; do sleep 0.05; done
    done
    last=$(find "$out/checkpoints" -name 'step-*.json' 2>/dev/null | sort | tail -1)
    if [ -n "$last" ]; then
        last=$(basename "$last" .json)
        last=$((10#${last#step-}))
    else
        last=-1
    fi
    must $n train "$tmp/job.json" --out "$out"
    same "$tmp/whole" "$out" "killed and resumed on $n ranks"
    from=$(jq '.resumed_from // -1' "$out/result.json")
    executed=$(jq .steps_executed "$out/result.json")
    [ "$from" = "$last" ] || fail "resumed from $from; the last checkpoint was $last"
    [ "$executed" = $((total - (from < 0 ? 0 : from))) ] || fail "$executed steps executed from $from of $total"
done

# A checkpoint that does not verify is passed over, with a warning; the result is the same.
cp -r "$tmp/whole" "$tmp/broken"
newest=$(find "$tmp/broken/checkpoints" -name '*.safetensors' | sort | tail -1)
truncate -s -1 "$newest"
must 2 train "$tmp/job.json" --out "$tmp/broken"
grep -q "warning: .*$(basename "$newest")" "$tmp/log" || { cat "$tmp/log"; fail "no warning"; }
same "$tmp/whole" "$tmp/broken" "fallen back to the checkpoint before"

# The same folder with another job is refused, with the field that differs.
ranks 2 train "$tmp/job.json" --out "$tmp/whole" --set train.seed=10
status=$?
[ $status = 2 ] || fail "another job in the same folder: status $status"
grep -q '#/train/seed: 9 became 10' "$tmp/log" || { cat "$tmp/log"; fail "the field is not named"; }
# What cannot change a result may differ.
must 2 train "$tmp/job.json" --out "$tmp/whole" --set name=other --set checkpoint.keep=5
exit 0
