#!/bin/bash
# An experiment of the paper by its name: the job that `distillctl presets` prints, with data and teacher.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

run() { "$worker" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$*: status $?"; }; }
refuse() { # TEXT ARGS...
    local text=$1 status
    shift
    "$worker" "$@" >"$tmp/log" 2>&1
    status=$?
    [ $status = 2 ] && grep -q -e "$text" "$tmp/log" || { cat "$tmp/log"; fail "$*: status $status"; }
}
preset=kd++/wrn_40_2-wrn_40_1 data=procedural:classes=2,train=8,test=8,seed=3
small=(--set train.batch=8 --set train.max_steps=1)
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{"source":"$data"},"student":{"model":"wrn_40_2"},
 "train":{"epochs":1,"batch":8,"lanes":2}}
J
run train "$tmp/teacher.json" --out "$tmp/teacher"
cd "$tmp" || exit 99
run train --preset $preset --data $data --teacher teacher/student.safetensors "${small[@]}"
grep -q 'has lanes of 64 samples.*these have 4' "$tmp/log" || { cat "$tmp/log"; fail "no word of a batch that is not the preset's"; }
"$builddir/distillctl" presets $preset | jq --arg data $data \
    '.data.source = $data | .teacher.weights = "teacher/student.safetensors"' >"$tmp/job.json"
run train "$tmp/job.json" "${small[@]}" --out "$tmp/file"
same "$tmp/kd++-wrn_40_2-wrn_40_1.out" "$tmp/file" "a preset and its job"

refuse 'give either JOB.json or --preset NAME' train --preset $preset "$tmp/job.json"
refuse 'give either JOB.json or --preset NAME' train
refuse '--data and --teacher go with --preset' train "$tmp/job.json" --data $data
refuse "did you mean 'kd++/resnet56-resnet20'" train --preset kd++/resnet56-resnet21 --data $data
refuse '#/teacher/weights' train --preset $preset --data $data
exit 0
