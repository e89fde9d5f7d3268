#!/bin/bash
# Losses in a run: each has its metrics, starts and stops when the job says, leaves nothing in the student but
# its weights, and at weight 0 changes no bit of it.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

data='"source":"procedural:classes=2,train=32,test=16,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet8x4"},
 "train":{"epochs":1,"batch":16,"lanes":2}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet8x4","weights":"teacher/student.safetensors"},
 "losses":[{"kind":"ce","label_smoothing":0.1},{"kind":"kd"},{"kind":"dkd","beta":2},{"kind":"dist"},
  {"kind":"reviewkd","weight":0.5,"start_epoch":1,"ramp_epochs":2},{"kind":"nd","stop_epoch":1},
  {"kind":"cosine","start_epoch":1,"stop_epoch":2},{"kind":"infonce"},{"kind":"sifn","weight":0.05},
  {"kind":"hafn","weight":0.05},{"kind":"l2","weight":0.01},{"kind":"norm_l2","weight":0.01},{"kind":"hint"}],
 "optimizer":{"lr":0.01},"train":{"epochs":3,"batch":16,"lanes":2}}
J
run() { "$worker" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$*: status $?"; }; }
refuse() { # STATUS TEXT ARGS...
    local want=$1 text=$2 status
    shift 2
    "$worker" "$@" >"$tmp/log" 2>&1
    status=$?
    [ $status = "$want" ] && grep -q "$text" "$tmp/log" || { cat "$tmp/log"; fail "$*: status $status"; }
}
run train "$tmp/teacher.json" --out "$tmp/teacher"
run train "$tmp/job.json" --out "$tmp/all"
grep -q 'warning: loss "dkd": with two classes' "$tmp/log" || { cat "$tmp/log"; fail "no warning about two classes"; }

# series NAME: values by step, two an epoch
series() { jq -r --arg name "$1" 'select(.name == $name and .split == "train") | .value' "$tmp/all/metrics.jsonl"; }
kinds=$("$worker" catalog | jq -r '.losses[].name')
for kind in $kinds; do
    [ "$(series "loss/$kind" | wc -l)/$(series "loss_raw/$kind" | wc -l)" = 6/6 ] || fail "no metrics of $kind"
done
share() { # KIND: weight as summed, by step
    paste <(series "loss/$1") <(series "loss_raw/$1") | awk '{ printf "%.4g ", $1 / $2 }'
}
[ "$(share reviewkd)" = "0 0 0 0 0.25 0.25 " ] || fail "reviewkd is weighed $(share reviewkd)"
[ "$(share nd)" = "1 1 0 0 0 0 " ] || fail "nd is weighed $(share nd)"
[ "$(share cosine)" = "0 0 1 1 0 0 " ] || fail "cosine is weighed $(share cosine)"
paste $(for kind in total $kinds; do series "loss/$kind" >"$tmp/$kind"; echo "$tmp/$kind"; done) |
    awk '{ sum = -$1; for (i = 2; i <= NF; i++) sum += $i; if (sum ^ 2 > 1e-8 * $1 ^ 2) exit 1 }' ||
    fail "the total is not the sum of its terms"

# Names in a file of tensors that begin so.
named() { # FILE PREFIX
    head -c $((8 + $(od -An -tu8 -N8 "$1"))) "$1" | tail -c +9 | jq -r 'keys[]' | grep "^$2"
}
newest=$(ls "$tmp"/all/checkpoints/*.safetensors | tail -1)
for layers in projector abfs connector; do
    named "$newest" "param/$layers\\." >/dev/null || fail "$layers is not in the checkpoint"
    named "$tmp/all/student.safetensors" $layers && fail "$layers is in the student"
done
jq '{kind: "eval", data, train: {batch: 16, lanes: 2}, student: {model: "resnet8", weights: "all/student.safetensors"}}' \
    "$tmp/job.json" >"$tmp/eval.json"
run eval "$tmp/eval.json" --out "$tmp/eval"
[ "$(jq .final.top1 "$tmp/eval/result.json")" = "$(jq .final.top1 "$tmp/all/result.json")" ] || fail "eval gives another top1"

# At weight 0 losses are measured, but the student is that of cross-entropy alone: the same bytes behind the
# header, whose metadata names the job.
tensors() { tail -c +$((9 + $(od -An -tu8 -N8 "$1/student.safetensors"))) "$1/student.safetensors"; }
jq '.losses |= map(if .kind != "ce" then .weight = 0 else . end)' "$tmp/job.json" >"$tmp/zero.json"
jq '.losses |= .[:1]' "$tmp/job.json" >"$tmp/alone.json"
run train "$tmp/zero.json" --out "$tmp/zero"
run train "$tmp/alone.json" --out "$tmp/alone"
cmp <(tensors "$tmp/zero") <(tensors "$tmp/alone") || fail "losses at weight 0 change the student"
cmp -s <(tensors "$tmp/all") <(tensors "$tmp/alone") && fail "losses change nothing"

# Over the whole batch dist sees what one lane that is the batch sees; over two lanes each sees less.
dist() { # NAME SCOPE LANES
    jq '.losses = [{kind: "ce"}, {kind: "dist", scope: "'"$2"'"}] | .train.lanes = '"$3" "$tmp/job.json" >"$tmp/$1.json"
    run train "$tmp/$1.json" --out "$tmp/$1"
    jq -r 'select(.name == "loss_raw/dist" or .name == "grad_norm") | .value' "$tmp/$1/metrics.jsonl" >"$tmp/$1.values"
}
dist lane1 lane 1
dist batch1 batch 1
dist lane2 lane 2
dist batch2 batch 2
paste "$tmp/lane1.values" "$tmp/batch1.values" |
    awk '{ if (($1 - $2) ^ 2 > 1e-8 * $1 ^ 2) exit 1; n++ } END { exit n != 12 }' ||
    fail "one lane is not the batch: $(paste "$tmp/lane1.values" "$tmp/batch1.values")"
cmp -s "$tmp/lane2.values" "$tmp/batch2.values" && fail "two lanes are the batch"

# What cannot be compared is refused, before anything is computed.
refuse 2 'layer is 5, but the .*last stage is 3' train "$tmp/job.json" --out "$tmp/no" --set losses.12.layer=5
refuse 2 'loss "nd" has no tau' train "$tmp/job.json" --out "$tmp/no" --set losses.5.tau=2
refuse 2 'needs a teacher' train "$tmp/teacher.json" --out "$tmp/no" --set 'losses=[{"kind":"hint"}]'
exit 0
