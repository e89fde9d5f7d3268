#!/bin/bash
# distill-worker bench prints one line of figures that belong together, whatever the ranks; its trace has every
# step of every plan; and what it is asked is checked.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

small=(--teacher resnet8x4 --student resnet8 --batch 8 --size 16 --classes 10 --lanes 2 --steps 3 --repeats 2
    --warmup 1)
holds() { # WHAT EXPRESSION: true of $tmp/log
    jq -e -s "length == 1 and (.[0] | $2)" "$tmp/log" >/dev/null || { cat "$tmp/log"; fail "bench: $1"; }
}

# What every line has, of N ranks.
check() { # N
    holds "the work" '.teacher == "resnet8x4" and .student == "resnet8" and .batch == 8 and .size == 16 and
        .classes == 10 and .lanes == 2 and .threads == 1 and .steps == 3 and .repeats == 2 and .ranks == '"$1"
    holds "speed" '.img_s > 0 and .img_s_min <= .img_s and .img_s <= .img_s_max and .step_ms_min > 0 and
        .step_ms >= .step_ms_min and .cpu_ms_per_image > 0 and .gflop_per_image > 0'
    # Every image of a repeat passes in its steps, so the fastest repeat is no faster than its fastest step.
    holds "rates are those of steps" '.img_s_max <= 8 / (.step_ms_min / 1000) * 1.001'
    holds "operations are counted" '((.gflop_per_image * .img_s) / .gflop_s - 1) | fabs < 0.1'
    holds "time to the first step" '.ready_s > 0 and .first_step_s > .ready_s'
    holds "memory" '.peak_rss_mib > .memory_mib and (.memory_mib / .planned_mib - 1 | fabs) < 0.2'
    holds "phases" '(.phase_ms | keys) == ["collective","data","student","teacher","update"] and
        .phase_ms.teacher > 0 and .phase_ms.student > 0 and .phase_ms.update > 0'
    holds "operators" '.ops | has("Conv") and has("ConvInputGrad") and has("ConvWeightGrad") and
        has("BatchNormTrainGrad") and has("other") and ([.[].share] | add - 1 | fabs < 0.01)'
    holds "kd and nd" '.first_loss > 0 and .method == "kd" and .nd_weight == 2 and (.ops | has("ReduceL2Grad"))'
}
must 1 bench "${small[@]}"
check 1
holds "no sums on one rank" 'has("communication") | not'
first=$(jq .first_loss "$tmp/log")
work=$(jq .gflop_per_image "$tmp/log")

# The same images, networks and lanes on 2 ranks: the same loss and the same work. --each, too.
must 2 bench "${small[@]}" --each
check 2
holds "the loss on 2 ranks" ".first_loss == $first"
holds "the work on 2 ranks" ".gflop_per_image == $work"
holds "the collective" '.phase_ms.collective > 0'
holds "sums over ranks" '.communication | .ms > 0 and .hidden >= 0 and .hidden <= 1'
holds "each step" '.each | .steps == 6 and .p50_ms > 0 and .p99_ms >= .p50_ms and .max_ms >= .p99_ms and
    .slow >= .slow_undisturbed'

# The operations are those that inspect counts: of the teacher once, of the student forward and twice backward,
# but for the first layer's input.
"$worker" bench --method none --nd 0 --student resnet8 --batch 4 --lanes 1 --steps 1 --repeats 1 --warmup 1 \
    --trace "$tmp/trace.json" >"$tmp/log" || fail "bench without a teacher: status $?"
holds "no teacher" '.teacher == null and (.ops | has("ReduceL2Grad") | not) and .phase_ms.teacher == 0 and .classes == 100 and .size == 32'
cost=$("$worker" inspect --model resnet8 --json | jq '.multiply_adds * 2 / 1e9') || fail "inspect"
holds "operations of a student alone" ".gflop_per_image > 2.8 * $cost and .gflop_per_image < 3 * $cost"

# Every step of the training plan is in the trace, and what is computed from the parameters before, in the order
# of time, one after the other; there is a row for each plan that ran, which evaluation's did not.
plans() { # EXPRESSION over the plans of the job, which are the list $plan
    jq --argjson plan "$plan" "$1" "$tmp/trace.json"
}
cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=100,train=4,test=1"},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":4,"lanes":1}}
J
plan=$("$worker" inspect "$tmp/job.json" --json | jq -c '[.plans[] | {title, steps: (.steps | length),
    prepare: (.prepare | length)}]') || fail "inspect of the job"
[ "$(plans '([.[] | select(.ph == "X")] | length) ==
    ($plan[0].steps + $plan[0].prepare)')" = true ] ||
    { echo "$plan"; fail "the trace has $(plans '[.[] | select(.ph == "X")] | length') spans"; }
[ "$(plans '[.[] | select(.ph == "M") | .args.name] | . == [$plan[0].title]')" = true ] ||
    fail "rows of the trace: $(plans '[.[] | select(.ph == "M")]')"
[ "$(plans '[.[] | select(.ph == "X")] | all(.dur >= 0 and .pid == 0 and .args.kernel != "") and
    .[0].ts == 0 and (. as $s | all(range(1; length); $s[.].ts >= $s[. - 1].ts + $s[. - 1].dur - 0.001))')" = true ] ||
    fail "spans of the trace overlap"

# Options that jobs have, and their images.
"$worker" bench "${small[@]}" --method dist --nd 1 --set losses.1.scope=batch --set teacher.directions=ema \
    --set 'data.augment.mix={"mixup_alpha":1}' --data procedural:classes=4,train=12,test=4 >"$tmp/log" ||
    fail "bench of a job's options: status $?"
holds "images of a source" '.classes == 4 and .size == 32 and .phase_ms.data > 0 and .phase_ms.collective >= 0'

# A teacher in int8, by the ranges of the batch: nearly the same loss, and the same work.
if grep -qE 'avx512_vnni|avx_vnni' /proc/cpuinfo; then
    "$worker" bench "${small[@]}" --set teacher.precision=int8 >"$tmp/log" || fail "bench of int8: status $?"
    holds "a teacher in int8" "(.ops | has(\"QuantConv\")) and (.first_loss / $first - 1 | fabs < 0.01) and
        .gflop_per_image == $work"
fi

# Outputs of the teacher that are kept: the same loss, and a step without the teacher.
kept() {
    "$worker" bench "${small[@]}" --set teacher.cache.views=1 >"$tmp/log" || fail "bench of kept outputs: status $?"
}
kept
# Once more where the machine was busy with something else in the moment of the teacher.
jq -e '.phase_ms.teacher < .phase_ms.student / 10' "$tmp/log" >/dev/null || kept
holds "kept outputs" ".first_loss == $first and .phase_ms.teacher < .phase_ms.student / 10"

refused() { # STATUS TEXT OPTION...
    "$worker" bench "${@:3}" >"$tmp/log" 2>&1
    [ $? = "$1" ] || { cat "$tmp/log"; fail "bench ${*:3}: not status $1"; }
    grep -qF -- "$2" "$tmp/log" || { cat "$tmp/log"; fail "bench ${*:3} does not say: $2"; }
}
refused 2 "--method: unknown method 'at'; known: none, kd, dkd, dist, reviewkd" --method at
refused 2 "#/teacher/model: unknown model 'resnet21'" --teacher resnet21
refused 2 "--batch 0: expected a whole number from 1" --batch 0
refused 2 "#/train/lanes: must be a power of two, got 3" --lanes 3
refused 2 "#/student/weights: expected none" --set student.weights=x
refused 2 "#/teacher/cache: expected none" --set teacher.cache.views=2 --data procedural:classes=4,train=12,test=4
refused 2 '"losses.7" is no member' --set losses.7.weight=3
refused 65 "data.source: " --data cifar100:/nonexistent
refused 2 "--trace: " --trace /nonexistent/x "${small[@]}"
ranks 4 bench "${small[@]}"
[ $? = 2 ] || { cat "$tmp/log"; fail "4 ranks on 2 lanes: not status 2"; }
grep -q '#/resources/ranks: .*4 ranks do not fit 2 lanes' "$tmp/log" || { cat "$tmp/log"; fail "4 ranks on 2 lanes: unclear"; }
# Images that one rank alone lacks end all of them, with its error.
cat >"$tmp/lacking" <<'A'
#!/bin/bash
[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ] || set -- "$@" --data cifar100:/nonexistent
exec "$@"
A
chmod +x "$tmp/lacking"
line=$(mpirun_line 2 bench "${small[@]}" --data procedural:classes=4,train=12,test=4)
bash -c "${line/$worker/$tmp/lacking $worker}" >"$tmp/log" 2>&1
[ $? = 65 ] || { cat "$tmp/log"; fail "one rank lacks its images: not status 65"; }
grep -q "rank 1: data.source: " "$tmp/log" || { cat "$tmp/log"; fail "one rank lacks its images: unclear"; }
exit 0
