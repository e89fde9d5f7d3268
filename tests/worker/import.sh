#!/bin/bash
# An ONNX file as student and as teacher: the same figures as the model that it was made of, the same bytes on
# one rank and two, class means that belong to it alone; a teacher with its own normalisation; class means
# from and to JSON.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

job() { # KIND TEACHER STUDENT [MORE]: each a JSON object, or empty
    echo "{\"kind\":\"$1\",\"name\":\"job\",${2:+\"teacher\":$2,}${3:+\"student\":$3,}${4:+$4,}
     \"data\":{\"source\":\"procedural:classes=2,train=32,test=16,seed=3\",
     \"mean\":${mean:-[0.4,0.5,0.6]},\"std\":${std:-[0.2,0.25,0.3]}},\"train\":{\"epochs\":1,\"batch\":16,\"lanes\":2}}" \
        >"$tmp/job.json"
}
run() { # COMMAND OUT
    "$worker" "$1" "$tmp/job.json" --out "$tmp/$2" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$1 $2: status $?"; }
}
refused() { # COMMAND STATUS PATTERN
    local got=0
    "$worker" "$1" "$tmp/job.json" --out "$tmp/refused" >"$tmp/log" 2>&1 || got=$?
    [ $got = "$2" ] || { cat "$tmp/log"; fail "$1: status $got, not $2"; }
    grep -qE -e "$3" "$tmp/log" || { cat "$tmp/log"; fail "$1 does not say $3"; }
}
final() {
    jq -c .final "$tmp/$1/result.json"
}

job train "" '{"model":"resnet8"}'
run train first
onnx=$tmp/first/student.onnx weights=$tmp/first/student.safetensors

# As a student: evaluated, and trained further.
job eval "" "{\"model\":\"resnet8\",\"weights\":\"$weights\"}"
run eval eval-own
job eval "" "{\"weights\":\"$onnx\"}"
run eval eval-onnx
[ "$(final eval-own)" = "$(final eval-onnx)" ] || fail "other figures: $(final eval-own), $(final eval-onnx)"
job eval "" "{\"model\":\"onnx\",\"graph\":\"$onnx\",\"weights\":\"$weights\"}"
run eval eval-graph
[ "$(final eval-own)" = "$(final eval-graph)" ] || fail "other figures: $(final eval-own), $(final eval-graph)"
job train "" "{\"weights\":\"$onnx\"}"
must 1 train "$tmp/job.json" --out "$tmp/one"
must 2 train "$tmp/job.json" --out "$tmp/two"
same "$tmp/one" "$tmp/two" "an ONNX student on two ranks"
differ "$tmp/first" "$tmp/one" "training"
job eval "" "{\"weights\":\"$tmp/one/student.onnx\"}"
run eval eval-further
[ "$(final eval-further | jq .top1)" = "$(final one | jq .top1)" ] || fail "the exported student is another one"

# As a teacher, whose class means are not those of another structure.
job class_means "{\"weights\":\"$onnx\"}"
run class-means means
job class_means "{\"model\":\"resnet8\",\"weights\":\"$weights\"}"
run class-means means-own
job distill "{\"weights\":\"$onnx\",\"class_means\":\"$tmp/means/class_means.safetensors\"}" '{"model":"resnet8"}' \
    '"losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd"}]'
run train distilled
job distill "{\"weights\":\"$onnx\",\"class_means\":\"$tmp/means-own/class_means.safetensors\"}" '{"model":"resnet8"}' \
    '"losses":[{"kind":"nd"}]'
refused train 65 'class means .* are of teacher .* this job has teacher'

# Its own normalisation: from the file's metadata, or from the job. The means are the same features.
json() { # RUN
    "$worker" export "$tmp/$1" --format json -o "$tmp/$1.json" >/dev/null || fail "export of $1: status $?"
}
near() { # A B
    jq -es '[.[0] as $a | .[1] as $b | $a | keys[] as $k | range($a[$k] | length) as $i | ($a[$k][$i] - $b[$k][$i]) | fabs] |
        max < 0.0003' "$tmp/$1.json" "$tmp/$2.json" >/dev/null
}
json means
mean=[0.1,0.2,0.3] std=[1,1,1] job class_means "{\"weights\":\"$onnx\"}"
run class-means means-meta
mean=[0.1,0.2,0.3] std=[1,1,1] job class_means \
    "{\"model\":\"resnet8\",\"weights\":\"$weights\",\"mean\":[0.4,0.5,0.6],\"std\":[0.2,0.25,0.3]}"
run class-means means-job
mean=[0.1,0.2,0.3] std=[1,1,1] job class_means "{\"model\":\"resnet8\",\"weights\":\"$weights\"}"
run class-means means-file
mean=[0.1,0.2,0.3] std=[1,1,1] job class_means \
    "{\"model\":\"resnet8\",\"weights\":\"$weights\",\"mean\":[0.1,0.2,0.3],\"std\":[1,1,1]}"
run class-means means-wrong
for m in means-meta means-job means-file means-wrong; do
    json $m
done
mean=[0.1,0.2,0.3] std=[1,1,1] job class_means "{\"weights\":\"$onnx\",\"mean\":[0.1,0.2,0.3],\"std\":[1,1,1]}"
run class-means means-said
json means-said
near means-wrong means-said || fail "a teacher's normalisation that is the data's does not count before the file's"
near means means-meta || fail "the normalisation of the file's metadata is not applied"
near means means-file || fail "the normalisation of the metadata of a .safetensors is not applied"
near means means-job || fail "the teacher's normalisation is not applied"
! near means means-wrong || fail "the normalisation makes no difference"

# Class means in JSON say nothing of their teacher: taken only when the job says so.
job distill "{\"model\":\"resnet8\",\"weights\":\"$weights\",\"class_means\":\"$tmp/means.json\"}" '{"model":"resnet8"}' \
    '"losses":[{"kind":"nd"}]'
refused train 2 'a JSON file does not say of which teacher'
job distill "{\"model\":\"resnet8\",\"weights\":\"$weights\",\"class_means\":\"$tmp/means.json\",\"class_means_unverified\":true}" \
    '{"model":"resnet8"}' '"losses":[{"kind":"nd"}]'
run train from-json
[ "$(jq -r .class_means "$tmp/from-json/result.json")" = unverified ] || fail "class means from JSON pass for verified ones"
job distill "{\"model\":\"resnet8\",\"weights\":\"$weights\",\"class_means\":\"$tmp/from-json/class_means.safetensors\"}" \
    '{"model":"resnet8"}' '"losses":[{"kind":"nd"}]'
refused train 65 'are of teacher unverified'

# Tensors in PyTorch's names, from either file. A file with a graph is its own model, until another is named.
"$worker" export "$onnx" --format safetensors -o "$tmp/own.safetensors" >/dev/null || fail "export of student.onnx"
[ "$("$worker" describe "$tmp/own.safetensors" | jq -r .architecture)" = onnx ] || fail "a graph passes for a model of the registry"
"$worker" export "$onnx" --model resnet8 --format safetensors -o "$tmp/a.safetensors" >/dev/null || fail "export of student.onnx"
"$worker" export "$weights" --format safetensors -o "$tmp/b.safetensors" >/dev/null || fail "export of student.safetensors"
cmp "$tmp/a.safetensors" "$tmp/b.safetensors" || fail "other tensors from ONNX than from safetensors"

# The teacher is its file, whatever the job applies to it.
mean=[0.1,0.2,0.3] std=[1,1,1] job distill "{\"weights\":\"$onnx\",\"features\":\"features\"}" '{"model":"resnet8"}' \
    '"losses":[{"kind":"nd"}]'
run train renormalised
was=$("$worker" describe "$onnx" | jq -r .tensors_sha256)
now=$("$worker" describe "$tmp/renormalised/student.safetensors" | jq -r .teacher_sha256)
[ "$was" = "$now" ] && [ ${#was} = 64 ] || fail "a student of $was says that its teacher is $now"

# Going on with another graph of the same tensors is going on with another student.
cp "$onnx" "$tmp/graph.onnx"
job train "" "{\"graph\":\"$tmp/graph.onnx\"}"
run train another
LC_ALL=C sed -i 's/Relu/Clip/g' "$tmp/graph.onnx"
status=0
"$worker" train "$tmp/job.json" --out "$tmp/another" >"$tmp/log" 2>&1 || status=$?
[ $status = 2 ] && grep -q 'made with another graph of the student' "$tmp/log" ||
    { cat "$tmp/log"; fail "another graph: status $status"; }
exit 0
