#!/bin/bash
# The memory that inspect plans for a rank is the memory that the rank has, within 5 %: programs, the code of
# kernels and mapped files apart.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
[ -r /proc/self/smaps ] || { echo "SKIP: no /proc/self/smaps"; exit 77; }

cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=10,train=256,test=16,seed=3"},
 "student":{"model":"resnet20"},"train":{"epochs":1,"batch":64,"lanes":1,"max_steps":2}}
J
# planned MODEL BATCH LANES RANKS: what was planned is what is there
planned() {
    local set=(--set student.model="$1" --set train.batch="$2" --set train.lanes="$3" --set resources.ranks="$4")
    local plan
    plan=$("$worker" inspect "$tmp/job.json" "${set[@]}" --json | jq .memory_total) || fail "inspect ${set[*]}"
    must "$4" train "$tmp/job.json" --out "$tmp/$*" "${set[@]}"
    jq -e --argjson plan "$plan" 'select(.event == "epoch") |
        all(.planned_mb_per_rank[]; . * 1e6 > $plan - 1 and . * 1e6 < $plan + 1) and
        all(.memory_mb_per_rank[] * 1e6 / $plan; . > 0.95 and . < 1.05)' "$tmp/$*/timing.jsonl" >/dev/null ||
        { cat "$tmp/$*/timing.jsonl"; fail "$*: not the $plan bytes that were planned"; }
}
planned resnet20 64 1 1
planned resnet8x4 32 2 1
planned resnet20 64 2 2
exit 0
