#!/bin/bash
# Data and models that do not fit: the job fails for good at its first attempt, with a sentence that names
# the file or field, what was expected and what was found.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon --data-root "$tmp"
submit '.name = "teacher" | .train.max_steps = 1'
wait_state "$id" succeeded
teacher=$state/jobs/$id/out/student.safetensors
submit ".name = \"means\" | del(.student, .train.epochs) | .kind = \"class_means\" | .data.source |= sub(\"seed=3\"; \"seed=4\")
    | .teacher = {model: \"resnet8\", weights: \"$teacher\"}"
wait_state "$id" succeeded
means=$state/jobs/$id/out/class_means.safetensors
[ -s "$means" ] || fail "no class means"

mkdir "$tmp"/{none,short,wrong,linked}
record() { # LABEL
    printf "\\x$1"
    head -c 3072 /dev/zero
}
for f in data_batch_{1..5}.bin test_batch.bin; do
    { record 1; record 2; } >"$tmp/short/$f"
    { record 1; record 0b; } >"$tmp/wrong/$f" # class 11 of 10
done
for f in data_batch_{1..5}.bin test_batch.bin; do
    ln -s "/proc/self/environ" "$tmp/linked/$f"
done
truncate -s -1 "$tmp/short/data_batch_3.bin"
head -c 1000 "$teacher" >"$tmp/cut.safetensors"
distill='.kind = "distill" | .losses = [{kind: "kd"}]'

ids=()
try() { # CODE FILTER WORD...
    submit ".resources.ranks = 1 | .name = \"$2\" | $3"
    ids+=("$id")
    codes[${#ids[@]}]=$1
    words[${#ids[@]}]="${*:4}"
}
declare -A codes words
try bad_data "a missing folder" ".data.source = \"cifar10:$tmp/nowhere\"" "$tmp/nowhere"
try bad_data "an empty folder" ".data.source = \"cifar10:$tmp/none\"" "$tmp/none/data_batch_1.bin"
try bad_data "a cut file" ".data.source = \"cifar10:$tmp/short\"" "data_batch_3.bin" 3073 6145
try bad_data "a label too high" ".data.source = \"cifar10:$tmp/wrong\"" "data_batch_1.bin" 11
try bad_data "no teacher file" "$distill | .teacher = {model: \"resnet8\", weights: \"$tmp/none/t\"}" "$tmp/none/t"
try bad_data "a cut teacher" "$distill | .teacher = {model: \"resnet8\", weights: \"$tmp/cut.safetensors\"}" cut.safetensors
try bad_data "another model" "$distill | .teacher = {model: \"resnet14\", weights: \"$teacher\"}" student.safetensors
try bad_data "other classes" "$distill | .teacher = {model: \"resnet8\", weights: \"$teacher\"} | .data.source |= sub(\"classes=4\"; \"classes=5\")" \
    student.safetensors 4 5
try bad_data "foreign means" "$distill | .losses += [{kind: \"nd\"}] | .teacher = {model: \"resnet8\", weights: \"$teacher\", class_means: \"$means\"}" \
    class_means
try invalid "a link out" ".data.source = \"cifar10:$tmp/linked\"" data_batch_1.bin "symbolic"
try invalid "no such class" ".data.classes = [0, 9]" classes 9
for ((i = 1; i <= ${#ids[@]}; i++)); do
    id=${ids[i - 1]}
    wait_state "$id" failed
    api GET "/api/v1/jobs/$id"
    why=$(body '"\(.name): \(.reason.code), attempt \(.attempt): \(.reason.message)"')
    echo "$why"
    [[ $why == *": ${codes[$i]}, attempt 1: "* ]] || fail "not ${codes[$i]}: $why"
    for word in ${words[$i]}; do
        [[ $why == *"$word"* ]] || fail "\"$word\" is not named: $why"
    done
done
# What lies elsewhere is refused at once.
ln -s /etc "$tmp/etc"
for source in "cifar10:/etc" "cifar10:$tmp/../etc" "cifar10:$tmp/etc" "cifar10:$state/token"; do
    post_job "$(job ".data.source = \"$source\"")"
    problem 422 invalid "a job that reads $source"
    [ "$(body '.errors[].pointer')" = '#/data/source' ] || fail "$source: $text"
    ! ctl datasets add other "$source" 2>"$tmp/said" || fail "registered: $source"
    grep -q '#/source' "$tmp/said" || fail "$source: $(cat "$tmp/said")"
done
stop_daemon
