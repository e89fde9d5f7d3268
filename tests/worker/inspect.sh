#!/bin/bash
# inspect prints what would be computed: steps, memory by region, the peak with what is alive; and of a
# model its tensors. Progress is a bar with the time left on a terminal, and plain lines elsewhere.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

cat >"$tmp/job.json" <<J
{"kind":"distill","name":"job","data":{"source":"procedural:classes=4,train=160,test=32,seed=3"},
 "student":{"model":"resnet8"},"teacher":{"model":"resnet8x4","weights":"none.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"nd"}],"train":{"epochs":1,"batch":64,"lanes":4}}
J
has() { # PATTERN
    grep -qE "$1" "$tmp/log" || { cat "$tmp/log"; fail "inspect does not say $1"; }
}

"$worker" inspect "$tmp/job.json" >"$tmp/log" || fail "inspect: status $?"
has '^== teacher, one chunk'
has '^== student in training, a lane of 16 samples'
has '^== student in training, a lane of 8 samples' # 160 = 64 + 64 + 32
has '^== student in evaluation'
has 'FusedConv'
has 'BatchNormTrainGrad'
has '^memory: arena [0-9.]+ MB \(without sharing [0-9.]+ MB\), constants'
has '^peak: [0-9.]+ MB at step [0-9]+: '
has '^parameters [0-9.]+ MB, buffers .* gradient region .* arena of all plans'
[ ! -e "$tmp/job.out" ] || fail "inspect made a folder"

"$worker" inspect --model resnet20 >"$tmp/log" || fail "inspect --model: status $?"
has '^layer3.0.downsample.0.weight +\[64,32,1,1\]'
has '^bn1.running_mean +\[16\] +buffer'
has '^parameters: 278324$'
has '^feature width: 64$'

"$worker" inspect --model resnet21 >"$tmp/log" 2>&1
[ $? = 2 ] || fail "inspect of an unknown model: not status 2"
has 'resnet21.*known: resnet8'
"$worker" inspect >"$tmp/log" 2>&1
[ $? = 2 ] || fail "inspect of nothing: not status 2"
has 'either a job or --model'

cat >"$tmp/train.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=4,train=160,test=32,seed=3"},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":32,"lanes":4}}
J
"$worker" train "$tmp/train.json" --out "$tmp/plain" >"$tmp/log" || fail "train: status $?"
has '^train 1/5, epoch 1/1, [0-9]+ images/s, [0-9]+ s left$'
! grep -q "$(printf '[\r\033]')" "$tmp/log" || fail "control characters where there is no terminal"

command -v script >/dev/null || { echo "without a terminal: script (util-linux) is missing"; exit 0; }
script -qec "'$worker' train '$tmp/train.json' --out '$tmp/bar'" "$tmp/log" >/dev/null || fail "train on a terminal: status $?"
has '\[[#.]{28}\] train 1/5, epoch 1/1, .* left'
# Behind mpirun, which gives every rank a pseudo-terminal, what counts is where its own output goes.
script -qec "$(mpirun_line 2 train "$tmp/train.json" --out "$tmp/bar2")" "$tmp/log" >/dev/null || fail "2 ranks on a terminal: status $?"
has '\[[#.]{28}\] train 1/5'
must 2 train "$tmp/train.json" --out "$tmp/plain2"
has '^train 1/5'
exit 0
