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
has '^== resnet8x4 frozen, a chunk of 16 samples'
has '^== resnet8 in training, a lane of 16 samples'
has '^== resnet8 in training, a lane of 8 samples' # 160 = 64 + 64 + 32
has '^== resnet8 in evaluation, a chunk of 16 samples'
has ' FusedConv conv1: \[16,3,32,32\], .* -> \[16,32,32,32\]'
has ' BatchNormTrainGrad bn1: '
has ' LogSoftmax loss/ce: \[16,4\] -> \[16,4\]'
has '^total: [0-9]+ steps read [0-9.]+ MB, write [0-9.]+ MB, [0-9.]+ MFLOP'
has '^memory: arena [0-9.]+ MB \(without sharing [0-9.]+ MB\), constants'
has '^peak: [0-9.]+ MB at step [0-9]+: '
has "^ +[0-9.]+ MB  gradient regions$"
has "^ +[0-9.]+ MB  together$"
[ ! -e "$tmp/job.out" ] || fail "inspect made a folder"

"$worker" inspect --model resnet20 >"$tmp/log" || fail "inspect --model: status $?"
has '^layer1.0.conv1 +Conv +\[1,16,32,32\] +2304 +2359296$'
has '^multiply-adds: 408[0-9]{5} for an image of 32x32, in convolutions and linear layers; each is 2 FLOP'
has '^layer3.0.downsample.0.weight +\[64,32,1,1\]'
has '^bn1.running_mean +\[16\] +buffer'
has '^parameters: 278324$'
has '^feature width: 64$'

# The steps of a model add up: 40.8 million multiplications with an addition each (performance.md of resnet20).
"$worker" inspect --model resnet20 --json >"$tmp/model.json" || fail "inspect --model --json: status $?"
json() { # WHAT EXPRESSION: true of model.json
    [ "$(jq "$2" "$tmp/model.json")" = true ] || { jq . "$tmp/model.json" | tail -60; fail "inspect --json: $1"; }
}
json "layers" '(.layers | map(.parameters) | add) == .parameters and (.layers | map(.multiply_adds) | add) == .multiply_adds and .multiply_adds * 2 == .plans[0].flops'
json "parameters and tensors" '.parameters == 278324 and .feature_width == 64 and (.tensors | length) == 107'
json "flops" '.plans[0] | (.flops / 2e6 > 40.7 and .flops / 2e6 < 40.9 and .flops == ([.steps[].flops] | add))'
json "bytes" '.plans[0] | .bytes_in == ([.steps[].inputs[].bytes] | add) and .bytes_out == ([.steps[].outputs[].bytes] | add)'
json "kernels and layers" '.plans[0].steps | all(.kernel != "" and .op != "") and any(.layer == "layer3.2.conv2")'
json "the peak" '.plans[0] | .peak.bytes == ([.peak.alive[].bytes] | add) and .peak.bytes == ([.steps[].alive_bytes] | max) and .peak.bytes <= .memory.arena'
"$worker" inspect --model resnet8 --batch 4 --dump all >"$tmp/log" || fail "inspect --dump all: status $?"
for pass in autodiff prune fold_bn fuse quantise layout place; do
    has "^== resnet8 frozen, a chunk of 4 samples, after $pass\$"
done
has '^%[0-9]+ = BatchNormalization\(.*\) \[4,16,32,32\] bn1$' # before fold_bn
has '^%[0-9]+ = Reorder\(.*\) \[16,3,3,3\] [A-D]' # behind layout
"$worker" inspect "$tmp/job.json" --dump fuse --json | jq -e '(.dumps | length) == 4 and all(.dumps[]; .pass == "fuse") and (.plans | length) == 4' >/dev/null || fail "inspect --dump fuse --json"
# A teacher in int8 has bytes from its second layer to its last but one.
"$worker" inspect "$tmp/job.json" --set teacher.precision=int8 --json >"$tmp/int8.json" || fail "inspect of int8: status $?"
jq -e '.plans[0] | .title == "resnet8x4 frozen in int8, a chunk of 16 samples" and
    (.steps | map(select(.op == "QuantConv")) | length == 9 and all(.inputs[0].type == "u8" and .inputs[1].type == "s8"))
    and all(.steps[] | select(.layer == "layer2.0.conv1"); .outputs[0] | .type == "u8" and .bytes == 16 * 128 * 16 * 16)' \
    "$tmp/int8.json" >/dev/null || { jq -c .plans[0] "$tmp/int8.json"; fail "inspect of a teacher in int8"; }
# Losses that read inner layers and whole batches have plans of their own.
jq '.losses += [{"kind":"hint"},{"kind":"dist","scope":"batch"}]' "$tmp/job.json" >"$tmp/wide.json"
"$worker" inspect "$tmp/wide.json" >"$tmp/log" || { cat "$tmp/log"; fail "inspect of taps and batches: status $?"; }
[ "$(grep -c '^== resnet8x4 frozen' "$tmp/log")" = 2 ] || { grep '^==' "$tmp/log"; fail "not both plans of the teacher"; }
has '^== losses over a batch of 64 samples'
has '^== losses over a batch of 32 samples'
"$worker" inspect "$tmp/job.json" --dump fuze >"$tmp/log" 2>&1
[ $? = 2 ] || fail "--dump of an unknown pass: not status 2"
has '"fuze"; known: all, autodiff, prune'

# A model for ImageNet is shown at its own size, and has two names.
"$worker" inspect --model imagenet_resnet18 >"$tmp/log" || fail "inspect --model imagenet_resnet18: status $?"
has '^conv1 +Conv +\[1,64,112,112\] +9408 +118013952$'
has '^parameters: 11689512$'
has '^multiply-adds: 1814[0-9]{6} for an image of 224x224'
has '^feature width: 512$'
"$worker" inspect --list >"$tmp/log" || fail "inspect --list: status $?"
has '^mobilenetv1 +224 +1000 +4231976 +[0-9]+ +1024$'
"$worker" catalog | jq -e '[.models[].name] | contains(["resnet50", "imagenet_resnet50", "wrn_40_2"])' >/dev/null || fail "catalog of models"
"$worker" inspect --list --json | jq -e '(.models | length) > 20 and all(.models[]; .multiply_adds > 1e6)' >/dev/null || fail "inspect --list --json"

"$worker" inspect --model resnet21 >"$tmp/log" 2>&1
[ $? = 2 ] || fail "inspect of an unknown model: not status 2"
has 'resnet21.*known: resnet8'
"$worker" inspect >"$tmp/log" 2>&1
[ $? = 2 ] || fail "inspect of nothing: not status 2"
has 'either a job or --model NAME or --list'

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
