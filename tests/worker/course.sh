#!/bin/bash
# The course of a run as it stands in its files: names and order of the metrics, ramp and learning rate
# by epoch, what result.json says, --resume, and --set.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=4,train=64,test=32,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet8"},
 "train":{"epochs":1,"batch":32}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"kd","weight":2,"temperature":4,"ramp_epochs":4},{"kind":"nd","weight":3}],
 "optimizer":{"lr":0.01},"schedule":{"kind":"multistep","milestones":[1,2],"gamma":0.5},
 "train":{"epochs":3,"batch":32,"lanes":2},"checkpoint":{"every_steps":1,"keep":9}}
J
run() { "$worker" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$*: status $?"; }; }
run train "$tmp/teacher.json" --out "$tmp/teacher"
run train "$tmp/job.json" --out "$tmp/out"

# series NAME SPLIT: values in the order of steps
series() { jq -r --arg name "$1" --arg split "${2:-train}" 'select(.name == $name and .split == $split) | .value' "$tmp/${of:-out}/metrics.jsonl"; }
expect() { # WHAT GOT WANT
    [ "$2" = "$3" ] || fail "$1 is $(echo $2), not $(echo $3)"
}

names=$(jq -r 'select(.step == 1 and .split == "train") | .name' "$tmp/out/metrics.jsonl" | xargs)
expect "the order of metrics" "$names" "loss/total loss/ce loss_raw/ce loss/kd loss_raw/kd loss/nd loss_raw/nd lr grad_norm top1 top5 norm/student norm/teacher norm/ratio norm/below_share cos/class_mean norm/student_p10 norm/student_p50 norm/student_p90 norm/teacher_p10 norm/teacher_p50 norm/teacher_p90"
names=$(jq -r 'select(.step == 2 and (.name | test("_epoch_"))) | .name' "$tmp/out/metrics.jsonl" | xargs)
expect "the metrics of an epoch" "$names" "norm/student_epoch_p10 norm/student_epoch_p50 norm/student_epoch_p90 norm/teacher_epoch_p10 norm/teacher_epoch_p50 norm/teacher_epoch_p90"
expect "epochs with quantiles" "$(series norm/student_epoch_p50 | wc -l)" 3
names=$(jq -r 'select(.split == "test" and .epoch == 0) | .name' "$tmp/out/metrics.jsonl" | xargs)
expect "the order of test metrics" "$names" "top1 top5 norm/student norm/teacher norm/ratio norm/below_share cos/class_mean loss_raw/ce"

# Two steps an epoch; rates of 0.01, halved at the start of epochs 1 and 2.
expect lr "$(series lr | xargs)" "0.01 0.01 0.005 0.005 0.0025 0.0025"
# The ramp: nothing of KD in epoch 0, a quarter in epoch 1, a half in epoch 2. ND has none.
paste <(series loss/kd) <(series loss_raw/kd) <(series loss/nd) <(series loss_raw/nd) <(series loss/ce) <(series loss/total) |
    awk '{ ramp = int((NR - 1) / 2) / 4
           if (($1 - 2 * ramp * $2) ^ 2 > 1e-12 || ($3 - 3 * $4) ^ 2 > 1e-12 || ($6 - $1 - $3 - $5) ^ 2 > 1e-12) exit 1 }' ||
    fail "losses are not weighed as the job says"

# Quantiles lie as they should, around the mean, and those of an epoch of two batches between the batches'.
for whose in student teacher; do
    paste <(series norm/${whose}_p10) <(series norm/${whose}_p50) <(series norm/${whose}_p90) <(series norm/$whose) |
        awk '{ if (!(0 < $1 && $1 <= $2 && $2 <= $3 && $1 <= $4 && $4 <= $3)) exit 1 }' || fail "quantiles of |$whose|"
    for p in p10 p50 p90; do
        paste <(series norm/${whose}_$p | paste - -) <(series norm/${whose}_epoch_$p) |
            awk '{ low = $1 < $2 ? $1 : $2; high = $1 + $2 - low; if ($3 < low * 0.95 || $3 > high * 1.05) exit 1 }' ||
            fail "epoch $p of |$whose|: $(series norm/${whose}_$p | xargs): $(series norm/${whose}_epoch_$p | xargs)"
    done
done

expect "state" "$(jq -r .state "$tmp/out/result.json")" succeeded
expect "steps" "$(jq -r '[.steps, .steps_executed, .resumed_from, .class_means, .kind] | join(",")' "$tmp/out/result.json")" "6,6,,computed,distill"
best=$(series top1 test | sort -g | tail -1)
[ "$(jq '."best (test)".top1 == '"$best" "$tmp/out/result.json")" = true ] || fail "best (test) is not $best"
[ "$(jq '.final.top1 == '"$(series top1 test | tail -1)" "$tmp/out/result.json")" = true ] || fail "final top1"

# Held out of the training set: a quarter has its own curves and chooses the best student.
run train "$tmp/job.json" --out "$tmp/val" --set data.val_fraction=0.25
of=val
expect "images" "$(jq -c '.data | [.train_images, .val_images, .test_images]' "$tmp/val/result.json")" "[48,16,32]"
best=$(series top1 val | sort -g | tail -1)
expect "evaluations" "$(series top1 val | wc -l) $(series top1 test | wc -l)" "3 3"
[ "$(jq '."best (val)".top1 == '"$best"' and (has("best (test)") | not)' "$tmp/val/result.json")" = true ] || fail "best (val) is not $best"
best=$(jq '."best (val)".step' "$tmp/val/result.json")
best=$(jq 'select(.split == "test" and .name == "top1" and .step == '"$best"') | .value' "$tmp/val/metrics.jsonl")
[ "$(jq '."best (val)".test_top1 == '"$best" "$tmp/val/result.json")" = true ] || fail "the best student's top-1 on the test images is not $best"
[ "$(jq '."final (val)".top1 == '"$(series top1 val | tail -1)" "$tmp/val/result.json")" = true ] || fail "final (val)"
cmp -s "$tmp/out/class_means.safetensors" "$tmp/val/class_means.safetensors" && fail "held out images are in the class means"
of=

# Class means in the cache that do not verify are made again, with a warning.
truncate -s -1 "$tmp"/cache/class_means/*
run train "$tmp/job.json" --out "$tmp/anew"
grep -q '^warning: .*class_means.*computed anew' "$tmp/log" || { cat "$tmp/log"; fail "no warning of a broken cache"; }
expect "class_means" "$(jq -r .class_means "$tmp/anew/result.json")" computed
same "$tmp/out" "$tmp/anew" "class means made again"

# --resume PATH begins there; never begins at 0; both end in the same bytes.
cp -r "$tmp/out" "$tmp/again"
run train "$tmp/job.json" --out "$tmp/other" --set train.seed=2
run train "$tmp/job.json" --out "$tmp/again" --resume "$tmp/again/checkpoints/step-000000003.safetensors"
expect "resumed_from" "$(jq .resumed_from "$tmp/again/result.json")" 3
same "$tmp/out" "$tmp/again" "--resume PATH"
run train "$tmp/job.json" --out "$tmp/again" --resume never
expect "resumed_from" "$(jq .resumed_from "$tmp/again/result.json")" null
same "$tmp/out" "$tmp/again" "--resume never"
# A run from the start that does not come far leaves no checkpoint of an earlier run before it.
cp -r "$tmp/out" "$tmp/short"
DISTILLD_FAULT=rank:0,step:2,kind:exit "$worker" train "$tmp/job.json" --out "$tmp/short" --resume never >"$tmp/log" 2>&1
expect "the newest checkpoint" "$(ls "$tmp/short/checkpoints" | tail -1)" step-000000002.safetensors
# What is refused takes nothing away.
"$worker" train "$tmp/job.json" --out "$tmp/again" --resume "$tmp/other/checkpoints/step-000000001.safetensors" >"$tmp/log" 2>&1
status=$?
[ $status = 2 ] && grep -q 'another job' "$tmp/log" || { cat "$tmp/log"; fail "--resume from another job: status $status"; }
same "$tmp/out" "$tmp/again" "a refused --resume"
# Nor does a run go back behind a checkpoint that is pinned, and nobody takes that away.
cp -r "$tmp/out" "$tmp/pinned"
touch "$tmp/pinned/checkpoints/step-000000004.pinned"
for how in never "$tmp/pinned/checkpoints/step-000000003.safetensors"; do
    ! "$worker" train "$tmp/job.json" --out "$tmp/pinned" --resume "$how" >"$tmp/log" 2>&1 && grep -q 'step 4 is pinned' "$tmp/log" ||
        { cat "$tmp/log"; fail "--resume $how behind a pinned checkpoint"; }
    same "$tmp/out" "$tmp/pinned" "refused to go back behind a pinned checkpoint"
done
run train "$tmp/job.json" --out "$tmp/pinned" --resume "$tmp/pinned/checkpoints/step-000000004.safetensors"
same "$tmp/out" "$tmp/pinned" "gone on from a pinned checkpoint"
# A checkpoint may lie elsewhere: its metrics do not, so the folder must have them up to there.
"$worker" train "$tmp/job.json" --out "$tmp/fresh" --resume "$tmp/out/checkpoints/step-000000003.safetensors" >"$tmp/log" 2>&1
status=$?
[ $status = 65 ] && grep -q 'metrics.jsonl' "$tmp/log" || { cat "$tmp/log"; fail "--resume without metrics: status $status"; }
"$worker" train "$tmp/job.json" --out "$tmp/again" --resume nowhere.safetensors >"$tmp/log" 2>&1
status=$?
[ $status != 0 ] && grep -q nowhere.safetensors "$tmp/log" || { cat "$tmp/log"; fail "--resume of nothing: status $status"; }

# A checkpoint of another instruction set is refused; --allow-other-isa goes on and says so.
cp -r "$tmp/out" "$tmp/isa"
for f in "$tmp"/isa/checkpoints/*.json; do
    jq '.isa = "vax"' "$f" >"$tmp/note" && cp "$tmp/note" "$f"
done
"$worker" train "$tmp/job.json" --out "$tmp/isa" >"$tmp/log" 2>&1
status=$?
[ $status = 2 ] && grep -q '"vax".*--allow-other-isa' "$tmp/log" || { cat "$tmp/log"; fail "another ISA: status $status"; }
run train "$tmp/job.json" --out "$tmp/isa" --allow-other-isa
expect "allow_other_isa" "$(jq .allow_other_isa "$tmp/isa/result.json")" true

# One of an older version lacks something: it is refused by its format, not for what it happens to lack.
cp -r "$tmp/out" "$tmp/older"
for f in "$tmp"/older/checkpoints/*.safetensors; do
    LC_ALL=C sed -i 's/distilld-checkpoint-[0-9]/distilld-checkpoint-0/' "$f"
    jq --arg sha "$(sha256sum "$f" | cut -d' ' -f1)" '.sha256 = $sha' "${f%.safetensors}.json" >"$tmp/note"
    cp "$tmp/note" "${f%.safetensors}.json"
done
"$worker" train "$tmp/job.json" --out "$tmp/older" >"$tmp/log" 2>&1
status=$?
[ $status = 65 ] && grep -q 'another version.*distilld-checkpoint-0' "$tmp/log" || { cat "$tmp/log"; fail "another version's checkpoint: status $status"; }
run train "$tmp/job.json" --out "$tmp/older" --resume never
same "$tmp/out" "$tmp/older" "begun anew"

# SIGTERM: a checkpoint, status 75, and the same command goes on to the same bytes.
"$worker" train "$tmp/job.json" --out "$tmp/long" --set train.epochs=400 >"$tmp/log" 2>&1 &
pid=$!
while ! grep -q '"step":5' "$tmp/long/metrics.jsonl" 2>/dev/null && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -TERM $pid
wait $pid
status=$?
[ $status = 75 ] && grep -q 'stopped after step' "$tmp/log" || { cat "$tmp/log"; fail "SIGTERM: status $status"; }

# eval of the student gives the figures of the last evaluation.
cat >"$tmp/eval.json" <<J
{"kind":"eval","name":"eval","data":{$data},"student":{"model":"resnet8","weights":"out/student.safetensors"},
 "train":{"batch":32,"lanes":2}}
J
run eval "$tmp/eval.json" --out "$tmp/eval"
[ "$(jq .final.top1 "$tmp/eval/result.json")" = "$(jq .final.top1 "$tmp/out/result.json")" ] || fail "eval gives another top1"
run eval "$tmp/eval.json" --out "$tmp/eval"
run eval "$tmp/eval.json" --out "$tmp/eval2" --set student.weights="$tmp/val/student.safetensors" --set data.val_fraction=0.25
[ "$(jq '."final (val)".top1' "$tmp/eval2/result.json")" = "$(jq '."final (val)".top1' "$tmp/val/result.json")" ] || fail "eval gives another val top1"
# Without a teacher images are mixed for cross-entropy alone.
run train "$tmp/teacher.json" --out "$tmp/mixed" --set 'data.augment.mix={"cutmix_alpha":1}'
differ "$tmp/teacher" "$tmp/mixed" "mixed images"
exit 0
