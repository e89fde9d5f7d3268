#!/bin/bash
# A job with augmentation, projector-free KD + ND, a last batch with fewer samples than lanes and an
# evaluation set that is no multiple of the chunk, and one through a projector with dropout and with every kind
# of loss, whose last batch is cut unevenly: the same bytes on 1, 2 and 4 ranks, and other bytes whenever
# something that matters changes.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=4,train=34,test=21,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet14"},
 "train":{"epochs":1,"batch":16,"seed":5}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet14","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"kd","ramp_epochs":2},{"kind":"nd","weight":2}],
 "train":{"epochs":2,"batch":16,"lanes":4,"seed":9}}
J
must 2 train "$tmp/teacher.json" --out "$tmp/teacher"
must 1 train "$tmp/job.json" --out "$tmp/one"
[ "$(jq .class_means "$tmp/one/result.json")" = '"computed"' ] || fail "class means were not computed"

# 34 = 16 + 16 + 2: the last batch leaves two of four lanes empty.
[ "$(jq -s 'map(select(.event=="epoch"))[0].step' "$tmp/one/timing.jsonl")" = 3 ] || fail "not 3 steps"

bash -c "$(mpirun_line 1 train "$tmp/job.json" --out "$tmp/launched")" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "mpirun -n 1"; }
same "$tmp/one" "$tmp/launched" "one rank under mpirun"
for n in 2 4; do
    rm -rf "$tmp/cache"
    must $n train "$tmp/job.json" --out "$tmp/ranks$n"
    [ "$(jq .class_means "$tmp/ranks$n/result.json")" = '"computed"' ] || fail "$n ranks: cache used"
    same "$tmp/one" "$tmp/ranks$n" "$n ranks"
done

# The work is divided: 16 + 16 samples evenly; of the last two, one in lane 1 and one in lane 3.
samples=$(jq -sc 'map(select(.event=="epoch"))[0].samples_per_rank' "$tmp/ranks4/timing.jsonl")
[ "$samples" = '[8,9,8,9]' ] || fail "4 ranks computed $samples samples"

# From the cache: the same bytes.
must 2 train "$tmp/job.json" --out "$tmp/cached"
[ "$(jq .class_means "$tmp/cached/result.json")" = '"cached"' ] || fail "the cache was not used"
same "$tmp/one" "$tmp/cached" "class means from the cache"

# AdamW counts its steps, also through a crash; the rate follows a cosine after a warm-up.
jq '.optimizer = {kind: "adamw", lr: 0.002, weight_decay: 0.05, decay_vectors: false} |
    .schedule = {kind: "cosine", warmup_epochs: 1, min_lr: 0.00001}' "$tmp/job.json" >"$tmp/adamw.json"
must 1 train "$tmp/adamw.json" --out "$tmp/adamw"
DISTILLD_FAULT=rank:0,step:5,kind:exit ranks 2 train "$tmp/adamw.json" --out "$tmp/adamw2" && fail "no crash"
must 2 train "$tmp/adamw.json" --out "$tmp/adamw2"
from=$(jq .resumed_from "$tmp/adamw2/result.json")
[ "$from" = 3 ] || fail "AdamW was resumed from $from, not 3"
same "$tmp/adamw" "$tmp/adamw2" "AdamW through a crash"
must 1 train "$tmp/adamw.json" --out "$tmp/decayed" --set optimizer.decay_vectors=true
differ "$tmp/adamw" "$tmp/decayed" "decay of vectors"

# Class means alone, on any number of ranks, are those that the job computed.
cat >"$tmp/means.json" <<J
{"kind":"class_means","data":{$data},
 "teacher":{"model":"resnet14","weights":"teacher/student.safetensors"},"train":{"batch":16}}
J
for n in 1 3; do
    rm -rf "$tmp/cache"
    must $n class-means "$tmp/means.json" --out "$tmp/means$n"
    cmp -s "$tmp/means$n/class_means.safetensors" "$tmp/one/class_means.safetensors" ||
        fail "class means of $n ranks differ"
done

# A teacher of another width, so that there is a projector, and dropout in it; losses with layers of their own,
# and losses that depend on the lane. 41 = 16 + 16 + 9: the last batch gives lanes of 2, 2, 2 and 3 samples.
data=${data/34/41}
cat >"$tmp/wide.json" <<J
{"kind":"train","name":"wide","data":{$data},"student":{"model":"resnet8x4"},
 "train":{"epochs":1,"batch":16,"max_steps":2}}
J
jq '.teacher = {model: "resnet8x4", weights: "wide/student.safetensors"} |
    .losses += [{kind: "dkd"}, {kind: "dist", scope: "batch"}, {kind: "reviewkd"}, {kind: "hint"}, {kind: "infonce"},
                {kind: "sifn", weight: 0.05}, {kind: "hafn", weight: 0.05}, {kind: "l2", weight: 0.01}] |
    .data.source |= sub("34"; "41")' "$tmp/job.json" >"$tmp/projected.json"
must 2 train "$tmp/wide.json" --out "$tmp/wide"
must 1 train "$tmp/projected.json" --out "$tmp/projected1"
for n in 2 4; do
    must $n train "$tmp/projected.json" --out "$tmp/projected$n"
    same "$tmp/projected1" "$tmp/projected$n" "$n ranks with a projector"
done

# Ranks that share no memory, as on hosts of their own, and two and two of them: the same bytes. Where there are
# several buckets of gradients, some are summed while computing goes on.
for shared in 1 2; do
    DISTILLD_SHARED_RANKS=$shared must 4 train "$tmp/projected.json" --out "$tmp/shared$shared"
    same "$tmp/projected1" "$tmp/shared$shared" "memory shared by $shared of 4 ranks"
    jq -e 'select(.event=="epoch").collective_hidden_share | . > 0 and . <= 1' "$tmp/shared$shared/timing.jsonl" \
        >/dev/null || fail "nothing was summed in the background: $(cat "$tmp/shared$shared/timing.jsonl")"
done
DISTILLD_SHARED_RANKS=some ranks 2 train "$tmp/job.json" --out "$tmp/some" && fail "some ranks share memory"
grep -q 'DISTILLD_SHARED_RANKS: expected a number of ranks, got "some"' "$tmp/log" || fail "$(cat "$tmp/log")"
must 1 train "$tmp/projected.json" --out "$tmp/undropped" --set student.projector_dropout=0
differ "$tmp/projected1" "$tmp/undropped" "a projector without dropout"

# A teacher in int8: ranges over images that are no multiple of the chunk, dealt to ranks, of which not all get some; other
# features than in float32, and so other class means. What processor it needs, is told.
int8=(--set teacher.precision=int8 --set teacher.calibration_images=6 --set train.epochs=1)
if grep -qE 'avx512_vnni|avx_vnni' /proc/cpuinfo; then
    must 1 train "$tmp/job.json" --out "$tmp/int8" "${int8[@]}"
    rm -rf "$tmp/cache"
    must 4 train "$tmp/job.json" --out "$tmp/int8-4" "${int8[@]}"
    same "$tmp/int8" "$tmp/int8-4" "4 ranks with a teacher in int8"
    must 1 train "$tmp/job.json" --out "$tmp/int8-4" "${int8[@]}"
    [ "$(jq .resumed_from "$tmp/int8-4/result.json")" = 3 ] || fail "a job with a teacher in int8 does not go on"
    [ "$(jq -r .teacher_precision "$tmp/int8/result.json")" = int8 ] || fail "the result does not say int8"
    cmp -s "$tmp/int8/class_means.safetensors" "$tmp/one/class_means.safetensors" && fail "class means of int8 are those of float32"
    # What bytes are worth belongs to the run.
    head -c 4096 "$tmp/int8/checkpoints/"*3.safetensors | grep -qE '"teacher_ranges_sha256":"[0-9a-f]{64}"' || fail "a checkpoint without the ranges"
fi
ONEDNN_MAX_CPU_ISA=AVX2 ranks 1 train "$tmp/job.json" --out "$tmp/avx2" "${int8[@]}" && fail "int8 without VNNI"
grep -q '#/teacher/precision: int8 needs a processor with avx512_core_vnni or avx2_vnni, got avx2' "$tmp/log" || fail "$(cat "$tmp/log")"

# What matters, shows.
must 2 train "$tmp/job.json" --out "$tmp/seed" --set train.seed=10
differ "$tmp/one" "$tmp/seed" "another seed"
must 2 train "$tmp/job.json" --out "$tmp/lanes" --set train.lanes=2
differ "$tmp/one" "$tmp/lanes" "another number of lanes"
cp -r "$tmp/teacher" "$tmp/teacher2"
# One bit of the last weight in the file: the highest of its mantissa.
f=$tmp/teacher2/student.safetensors
at=$(($(stat -c %s "$f") - 2))
byte=$(od -An -tu1 -j$at -N1 "$f")
printf "\\$(printf %o $((byte ^ 64)))" | dd of="$f" bs=1 seek=$at conv=notrunc 2>/dev/null
must 2 train "$tmp/job.json" --out "$tmp/bit" --set teacher.weights="$f"
differ "$tmp/one" "$tmp/bit" "a teacher with one bit changed"
cmp -s "$tmp/bit/class_means.safetensors" "$tmp/one/class_means.safetensors" &&
    fail "class means of another teacher are the same"
exit 0
