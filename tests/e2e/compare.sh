#!/bin/bash
# distillctl compare: runs on other ranks are bit-identical and it says so; another seed is told by field,
# figure, step and file.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
for change in '.resources.ranks = 1' '.resources.ranks = 2 | .name = "two"' '.train.seed = 2'; do
    submit "$change"
    jobs+=("$id")
done
for id in "${jobs[@]}"; do
    wait_state "$id" succeeded 60
done

ctl compare "${jobs[0]}" "${jobs[1]}" >"$tmp/out" || fail "compare"
grep -q 'The runs are bit-identical' "$tmp/out" || fail "not identical: $(cat "$tmp/out")"
grep -qE '^#/resources/ranks +1 +2$' "$tmp/out" || fail "no ranks: $(cat "$tmp/out")"
ctl --json compare "${jobs[0]}" "${jobs[1]}" >"$tmp/out" || fail "compare --json"
jq -e '.identical and ([.spec[].pointer] == ["#/name", "#/resources/ranks"])
    and ([.metrics[] | select(.name == "loss/total")][0] | .points > 0 and .max_abs_difference == 0)
    and ([.figures[].name] | contains(["final.top1", "seconds", "images/s"]))
    and ([.figures[] | select(.name == "images/s")][0].a > 0)
    and ([.files[] | select(.equal) | .name] | contains(["student.safetensors", "metrics.jsonl"]))' \
    "$tmp/out" >/dev/null || fail "two equal runs: $(cat "$tmp/out")"

ctl compare "${jobs[0]}" "${jobs[2]}" >"$tmp/out" || fail "compare"
grep -q 'The runs differ' "$tmp/out" || fail "another seed is no difference: $(cat "$tmp/out")"
ctl --json compare "${jobs[0]}" "${jobs[2]}" >"$tmp/out" || fail "compare --json"
jq -e '(.identical | not) and ([.spec[] | select(.pointer == "#/train/seed")] == [{pointer: "#/train/seed", a: 1, b: 2}])
    and ([.metrics[] | select(.name == "loss/total")][0] | .first_difference == 1 and .max_abs_difference > 0)
    and ([.files[] | select(.name == "student.safetensors")][0].equal == false)' \
    "$tmp/out" >/dev/null || fail "two different runs: $(cat "$tmp/out")"

# Bytes of one file, of equal length.
printf overwritten | dd of="$state/jobs/${jobs[1]}/out/student.safetensors" bs=1 seek=5000 conv=notrunc status=none
ctl --json compare "${jobs[0]}" "${jobs[1]}" >"$tmp/out" || fail "compare --json"
jq -e '.identical | not' "$tmp/out" >/dev/null || fail "a changed file is not noticed"

ctl compare "${jobs[0]}" job_0000000000000000000000000A 2>"$tmp/err"
[ $? -eq 2 ] || fail "an unknown job: $(cat "$tmp/err")"
stop_daemon
