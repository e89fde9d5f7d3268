#!/bin/bash
# Where the directions of classes come from: means over augmented views, the teacher's classifier, running
# means; the same bytes on 1, 2 and 4 ranks and through a resume, and other bytes than without. With it what
# else changes the batches: mixed images and a part that is held out.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=4,train=70,test=20,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet8"},
 "train":{"epochs":1,"batch":32,"seed":5}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd","weight":2}],
 "train":{"epochs":2,"batch":32,"lanes":4,"seed":9},"checkpoint":{"every_steps":1,"keep":9}}
J
cat >"$tmp/means.json" <<J
{"kind":"class_means","data":{$data},"train":{"batch":32},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors","means":{"transform":"train","passes":2}}}
J
must 1 train "$tmp/teacher.json" --out "$tmp/teacher"
must 1 train "$tmp/job.json" --out "$tmp/plain"

# Means over two augmented passes: by any number of ranks, counted twice, and of their seed.
means() { # NAME RANKS ARGS...
    rm -rf "$tmp/cache"
    must "$2" class-means "$tmp/means.json" --out "$tmp/$1" "${@:3}"
}
means augmented1 1
means augmented3 3
cmp -s "$tmp/augmented1/class_means.safetensors" "$tmp/augmented3/class_means.safetensors" || fail "augmented means on 3 ranks"
grep -aq 'train seed=1 passes=2 augment={' "$tmp/augmented1/class_means.safetensors" || fail "no provenance"
for change in teacher.means.seed=2 teacher.means.passes=1 teacher.means.transform=eval data.augment.pad_crop=2; do
    sets=(--set $change)
    [ $change != teacher.means.transform=eval ] || sets+=(--set teacher.means.passes=1)
    means changed 1 "${sets[@]}"
    cmp -s "$tmp/augmented1/class_means.safetensors" "$tmp/changed/class_means.safetensors" && fail "$change gives the same means"
    rm -rf "$tmp/changed"
done
# A job with these settings takes them, one with others does not.
ranks 1 train "$tmp/job.json" --out "$tmp/given" --set teacher.class_means="$tmp/augmented1/class_means.safetensors"
[ $? = 65 ] && grep -q 'transform train seed=1 passes=2' "$tmp/log" || { cat "$tmp/log"; fail "foreign means are taken"; }
must 1 train "$tmp/job.json" --out "$tmp/given" --set teacher.class_means="$tmp/augmented1/class_means.safetensors" \
    --set 'teacher.means={"transform":"train","passes":2}'
differ "$tmp/plain" "$tmp/given" "means of augmented views"

# The classifier's rows.
must 1 train "$tmp/job.json" --out "$tmp/classifier" --set teacher.directions=classifier
must 2 train "$tmp/job.json" --out "$tmp/classifier2" --set teacher.directions=classifier
same "$tmp/classifier" "$tmp/classifier2" "the classifier on 2 ranks"
differ "$tmp/plain" "$tmp/classifier" "the classifier's rows"
[ ! -e "$tmp/classifier/class_means.safetensors" ] || fail "class means nobody asked for"

# Running means with all that changes a batch. The first step knows no class: ND is 1 and teaches nothing.
running=(--set teacher.directions=ema --set teacher.ema_momentum=0.5 --set data.val_fraction=0.1
    --set 'data.augment.mix={"mixup_alpha":0.8,"cutmix_alpha":1,"prob":0.8}')
must 1 train "$tmp/job.json" --out "$tmp/running" "${running[@]}"
[ "$(jq 'select(.step == 1 and .name == "loss_raw/nd") | .value == 1' "$tmp/running/metrics.jsonl")" = true ] || fail "the first step has directions"
[ "$(jq 'select(.step == 2 and .name == "loss_raw/nd") | .value < 1' "$tmp/running/metrics.jsonl")" = true ] || fail "the second step has none"
for n in 2 4; do
    DISTILLD_FAULT=rank:0,step:3,kind:exit ranks $n train "$tmp/job.json" --out "$tmp/running$n" "${running[@]}"
    [ ! -e "$tmp/running$n/result.json" ] || fail "the fault did not strike"
    must $((6 - n)) train "$tmp/job.json" --out "$tmp/running$n" "${running[@]}"
    [ "$(jq .resumed_from "$tmp/running$n/result.json")" -gt 0 ] || fail "not resumed"
    same "$tmp/running" "$tmp/running$n" "running means on $n ranks, resumed"
done
must 1 train "$tmp/job.json" --out "$tmp/other" "${running[@]}" --set teacher.ema_momentum=0
differ "$tmp/running" "$tmp/other" "another momentum"
must 1 train "$tmp/job.json" --out "$tmp/unmixed" "${running[@]}" --set data.augment.mix.prob=0
differ "$tmp/running" "$tmp/unmixed" "mixed images"
exit 0
