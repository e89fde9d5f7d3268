#!/bin/bash
# Bad input: every mistake ends a run on one rank and on two with the same status and one sentence that
# names the field or file, what was expected and what came. Nothing of a run is left behind, so that the
# corrected job can go into the same folder, and no rank runs on.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=4,train=64,test=32,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet8"},
 "train":{"epochs":1,"batch":32}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"nd"}],"train":{"epochs":1,"batch":32,"lanes":4}}
J
cat >"$tmp/means.json" <<J
{"kind":"class_means","data":{"source":"procedural:classes=4,train=64,test=32,seed=4"},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors"}}
J
must 1 train "$tmp/teacher.json" --out "$tmp/teacher"
must 1 class-means "$tmp/means.json" --out "$tmp/means"

# Files that are wrong in one way each.
zeros() { head -c "$1" /dev/zero; }
mkdir "$tmp/whole" "$tmp/cut" "$tmp/label"
for d in whole cut label; do zeros $((3074 * 4)) >"$tmp/$d/train.bin"; done
zeros $((3074 * 4)) >"$tmp/whole/test.bin"
zeros 5000 >"$tmp/cut/test.bin"
{ zeros 3075; printf '\144'; zeros 3072; } >"$tmp/label/test.bin"
head -c -10 "$tmp/teacher/student.safetensors" >"$tmp/cut.safetensors"
echo "twenty bytes of text" >"$tmp/noise.safetensors"

left() { # nothing but the lock and the folder of logs
    find "$tmp/out" -type f 2>/dev/null | grep -v -e '/\.lock$' -e '/logs/'
}

# The job, changed by a jq program, is refused with this status; the message has all the words.
refused() { # RANKS STATUS CHANGE WORDS...
    local ranks=$1 want=$2 change=$3 status word
    shift 3
    jq "$change" "$tmp/job.json" >"$tmp/bad.json"
    if [ "$ranks" = 1 ]; then # alone, without mpirun
        "$worker" train "$tmp/bad.json" --out "$tmp/out" >"$tmp/log" 2>&1
    else
        ranks "$ranks" train "$tmp/bad.json" --out "$tmp/out"
    fi
    status=$?
    [ $status = "$want" ] || { cat "$tmp/log"; fail "$change on $ranks ranks: status $status, not $want"; }
    grep '^distill-worker train: ' "$tmp/log" >"$tmp/said"
    [ "$(wc -l <"$tmp/said")" = 1 ] || { cat "$tmp/log"; fail "$change on $ranks ranks: not one sentence"; }
    for word in "$@"; do
        grep -qF -- "$word" "$tmp/said" || { cat "$tmp/said"; fail "$change: the message has no \"$word\""; }
    done
    [ -z "$(left)" ] || fail "$change on $ranks ranks left $(left)"
    ! pgrep -f "distill-worker train $tmp" >/dev/null || fail "$change: a rank runs on"
}

for n in 1 2; do
    refused $n 2 '.trian = {}' '#/trian' 'unknown' 'did you mean "train"'
    refused $n 65 '.data.source = "cifar100:/nowhere"' 'data.source' '/nowhere/train.bin'
    refused $n 65 '.teacher.weights = "cut.safetensors"' 'teacher.weights' 'cut.safetensors' 'within'
done
refused 1 2 '.train.batch = "x"' '#/train/batch' 'integer' '"x"'
refused 1 2 '.optimizer.lr = -1' '#/optimizer/lr' 'greater than 0' '-1'
refused 1 2 '.train.lanes = 3 | .train.epochs = 0' '#/train/lanes' 'power of two' '3' '#/train/epochs'
refused 1 2 '.student.model = "resnet21"' '#/student/model' 'resnet21' 'resnet20'
refused 2 2 '.train.lanes = 1' '#/train/lanes' '2 ranks' '1 lanes'
refused 1 2 '.resources.ranks = {min: 2, max: 4}' '#/resources/ranks' '2 to 4 ranks' '1 is outside'
refused 2 2 '.student.model = "resnet8x4" | .student.projector = "never"' \
    '#/student/projector' '256' '64' 'resnet8x4'
refused 1 2 '.student.model = "resnet8x4" | .train.batch = 4' 'batch norm' '64 training images' \
    'batches of 4' '4 lanes'
refused 2 65 '.data.source = "cifar100:cut"' 'cut/test.bin' '3074' '5000'
refused 2 65 '.data.source = "cifar100:label"' 'label/test.bin' 'record 1' '0 to 99' '100'
refused 2 65 '.data.source = "cifar100:whole"' 'teacher.weights' 'fc.weight' '[4,64]' '[100,64]'
refused 1 65 '.teacher.model = "resnet14"' 'teacher.weights' 'layer1.1.conv1.weight' 'resnet14'
refused 1 65 '.teacher.model = "resnet8x4" | .losses = [{kind: "ce"}, {kind: "kd"}]' 'teacher.weights' \
    'conv1.weight' '[16,3,3,3]' '[32,3,3,3]'
refused 1 65 '.teacher.weights = "noise.safetensors"' 'noise.safetensors' 'neither safetensors'
refused 1 65 '.teacher.weights = "absent.safetensors"' 'absent.safetensors' 'No such file'
# Class means of other data: both provenances.
refused 2 65 '.teacher.class_means = "means/class_means.safetensors"' 'teacher.class_means' \
    'are of teacher' 'this job has teacher'
refused 1 65 '.teacher.class_means = "teacher/student.safetensors"' 'teacher.class_means' 'format'

# A wrong kind names the command that is right.
ranks 1 train "$tmp/means.json" --out "$tmp/out"
status=$?
[ $status = 2 ] || fail "a job of kind class_means under train: status $status"
grep -qF 'distill-worker class-means' "$tmp/log" || { cat "$tmp/log"; fail "the right command is not named"; }

# Corrected, the job runs in the folder of all these refusals.
ranks 3 train "$tmp/job.json" --out "$tmp/out"
status=$?
[ $status = 2 ] || fail "3 ranks: status $status"
grep -q '3 ranks do not fit 4 lanes' "$tmp/log" || { cat "$tmp/log"; fail "ranks and lanes are not named"; }
must 2 train "$tmp/job.json" --out "$tmp/out"
exit 0
