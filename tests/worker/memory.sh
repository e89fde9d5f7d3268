#!/bin/bash
# The memory that inspect plans for a rank is the memory that the rank has, within 5 %: programs, the code of
# kernels and mapped files apart.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
[ -r /proc/self/smaps ] || { echo "SKIP: no /proc/self/smaps"; exit 77; }

cat >"$tmp/train.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=10,train=256,test=16,seed=3"},
 "student":{"model":"resnet20"},"train":{"epochs":1,"batch":64,"lanes":1,"max_steps":2}}
J
cat >"$tmp/distill.json" <<J
{"kind":"distill","name":"distill","data":{"source":"procedural:classes=10,train=256,test=16,seed=3"},
 "student":{"model":"resnet20"},"teacher":{"model":"resnet8x4","weights":"train resnet8x4 32 2 1/student.safetensors"},
 "losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd"}],"train":{"epochs":1,"batch":128,"lanes":2,"max_steps":1}}
J
# planned JOB MODEL BATCH LANES RANKS: what was planned is what is there
planned() {
    local set=(--set student.model="$2" --set train.batch="$3" --set train.lanes="$4" --set resources.ranks="$5")
    local plan
    plan=$("$worker" inspect "$tmp/$1.json" "${set[@]}" --json | jq .memory_total) || fail "inspect ${set[*]}"
    must "$5" train "$tmp/$1.json" --out "$tmp/$*" "${set[@]}"
    jq -e --argjson plan "$plan" 'select(.event == "epoch") |
        all(.planned_mb_per_rank[]; . * 1e6 > $plan - 65536 and . * 1e6 < $plan + 65536) and
        all(.memory_mb_per_rank[] * 1e6 / $plan; . > 0.95 and . < 1.05)' "$tmp/$*/timing.jsonl" >/dev/null ||
        { cat "$tmp/$*/timing.jsonl"; fail "$*: not the $plan bytes that were planned"; }
    jq -r '"'"$*"': \(.memory_mb_per_rank) MB, planned \(.planned_mb_per_rank)"' "$tmp/$*/timing.jsonl" | grep -v null
}
planned train resnet8 8 1 1
planned train resnet20 64 1 1
planned train resnet8x4 32 2 1
planned train resnet20 64 2 2
planned distill resnet20 128 2 1
exit 0
