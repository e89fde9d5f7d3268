#!/bin/bash
# Families of models in a run: the same bytes on 1 and 2 ranks, what is trained can be evaluated and exported,
# and first values as the reference's projector leaves them.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=2,train=16,test=8,seed=3"'
for model in wrn_16_1 vgg8 mobilenetv2 shufflenetv1 shufflenetv2_x02 mobilenetv1; do
    cat >"$tmp/$model.json" <<J
{"kind":"train","name":"$model","data":{$data},"student":{"model":"$model"},
 "optimizer":{"lr":0.01},"train":{"epochs":1,"batch":16,"lanes":2}}
J
    must 1 train "$tmp/$model.json" --out "$tmp/${model}1"
    must 2 train "$tmp/$model.json" --out "$tmp/${model}2"
    same "$tmp/${model}1" "$tmp/${model}2" "$model on 1 and 2 ranks"
    [ -s "$tmp/${model}1/student.onnx" ] || fail "no student.onnx of a $model"
done

# floats FILE NAME: the values of a tensor
floats() {
    local n span
    n=$(od -An -tu8 -N8 "$1")
    span=($(head -c $((8 + n)) "$1" | tail -c +9 | jq ".\"$2\".data_offsets[]"))
    od -An -tf4 -v -w4 -j $((8 + n + span[0])) -N $((span[1] - span[0])) "$1"
}
largest() { floats "$@" | awk '{ x = $1 ^ 2 > m ? $1 ^ 2 : m; m = x } END { print sqrt(m) }'; }
is_below() { awk "BEGIN { exit !($1 < $2) }" || fail "$3: $1 is not below $2"; }

cat >"$tmp/distil.json" <<J
{"kind":"distill","name":"distil","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"wrn_16_2","weights":"teacher.safetensors"},"losses":[{"kind":"ce"},{"kind":"nd"}],
 "optimizer":{"lr":1e-9},"train":{"epochs":1,"batch":16,"lanes":2}}
J
must 1 train "$tmp/wrn_16_1.json" --set student.model=wrn_16_2 --out "$tmp/teacher"
cp "$tmp/teacher/student.safetensors" "$tmp/teacher.safetensors"
must 1 train "$tmp/distil.json" --out "$tmp/plain"
must 1 train "$tmp/distil.json" --out "$tmp/trap" --set student.init=repo
is_below 0.01 "$(largest "$tmp/plain/student.safetensors" fc.bias)" "a classifier's bias"
is_below "$(largest "$tmp/trap/student.safetensors" fc.bias)" 1e-6 "a classifier's bias with init=repo"
cmp -s <(floats "$tmp/plain/student.safetensors" conv1.weight) <(floats "$tmp/trap/student.safetensors" conv1.weight) ||
    fail "init=repo changes a convolution"
exit 0
