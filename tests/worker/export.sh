#!/bin/bash
# A run leaves student.onnx; export writes the same file again, from the folder or from any weights whose
# nature the file or the command line tells.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=4,train=32,test=8,seed=3","classes":[3,1],
 "mean":[0.4,0.5,0.6],"std":[0.2,0.25,0.3]},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":16,"lanes":2}}
J
says() { # PATTERN
    grep -qE -e "$1" "$tmp/log" || { cat "$tmp/log"; fail "export does not say $1"; }
}
refuses() { # STATUS PATTERN ARGS...
    local want=$1 pattern=$2
    shift 2
    "$worker" export "$@" >"$tmp/log" 2>&1
    local got=$?
    [ $got = "$want" ] || { cat "$tmp/log"; fail "export $*: status $got, not $want"; }
    says "$pattern"
}

"$worker" train "$tmp/job.json" --out "$tmp/run" >"$tmp/log" || { cat "$tmp/log"; fail "train: status $?"; }
[ -s "$tmp/run/student.onnx" ] || fail "the run left no student.onnx"
[ "$("$worker" export "$tmp/run" -o "$tmp/again.onnx")" = "$tmp/again.onnx" ] || fail "export of the folder"
cmp "$tmp/run/student.onnx" "$tmp/again.onnx" || fail "export of the folder: other bytes"

# What the file says of itself: the student's metadata, and the hash of the weights.
header=$(head -c "$((8 + $(od -An -tu8 -N8 "$tmp/run/student.safetensors")))" "$tmp/run/student.safetensors" | tail -c +9)
for key in model class_numbers mean std spec_sha256 data_sha256; do
    value=$(jq -r ".__metadata__.$key" <<<"$header")
    grep -qaF "$value" "$tmp/again.onnx" || fail "student.onnx does not tell $key, $value"
done
[ "$(jq -r '.__metadata__ | "\(.class_numbers) \(.classes) \(.image_size) \(.mean) \(.std)"' <<<"$header")" = \
    "3,1 2 32 0.4,0.5,0.6 0.2,0.25,0.3" ] || fail "metadata of the student: $header"
grep -qa weights_sha256 "$tmp/again.onnx" || fail "student.onnx does not tell its weights_sha256"

refuses 65 'is it a resnet20\?' "$tmp/run" --model resnet20
refuses 2 "unknown model 'resnet9'" "$tmp/run" --model resnet9
refuses 65 'tensor fc.(weight|bias) is .* resnet8 with 3 classes needs' "$tmp/run" --classes 3
refuses 2 '--mean: expected three numbers' "$tmp/run" --mean 0.5,0.5
refuses 2 '--std: expected three numbers' "$tmp/run" --std 0.5,x,0.5
refuses 65 'No such file' "$tmp/none.safetensors"
cmp "$tmp/run/student.onnx" "$tmp/again.onnx" || fail "a refused export changed the file"
[ "$(find "$tmp/run" -name '*.tmp-*')" = "" ] || fail "a half-written file"
exit 0
