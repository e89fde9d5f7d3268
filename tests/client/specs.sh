#!/bin/bash
# distillctl reads jobs as YAML and as JSON; the example jobs are valid; what is wrong in YAML has a line.
set -u
ctl=${builddir:-.}/distillctl
unset "${!DISTILLD_@}"
export DISTILLD_SERVER=http://127.0.0.1:1 # there is none: these checks need no server
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
    echo "FAIL: $*"
    exit 1
}

is() { # STATUS ARGUMENT...
    local got
    "$ctl" "${@:2}" >"$tmp/out" 2>"$tmp/err"
    got=$?
    [ $got -eq "$1" ] || fail "distillctl ${*:2}: status $got instead of $1: $(cat "$tmp/out" "$tmp/err")"
}

says() { # TEXT
    grep -qF -- "$1" "$tmp/out" "$tmp/err" || fail "no \"$1\" in: $(cat "$tmp/out" "$tmp/err")"
}

found=0
for spec in "$srcdir"/deploy/jobs/*.json "$srcdir"/deploy/jobs/*.yaml; do
    case $spec in
    */teacher.*) is 0 validate "$spec" ;;
    *) is 0 validate "$spec" --set teacher.weights=teacher.safetensors ;;
    esac
    found=$((found + 1))
done
[ $found -ge 5 ] || fail "only $found example jobs"

cat >"$tmp/job" <<'T'
kind: train
data: {source: "procedural:classes=4,train=64,test=32,seed=3"}
student:
  model: resnet8
train:
  epochs: 2
  momentum: 0.9
  batch: '16'
optimizer:
  momentun: 0.9
T
for name in job.yaml job.yml job; do
    [ $name = job ] || cp "$tmp/job" "$tmp/$name"
    is 2 validate "$tmp/$name"
    says '#/train/batch (line 8): expected an integer'
    says '#/optimizer/momentun (line 10): unknown field; did you mean "momentum"?'
    says '#/train/momentum (line 7): unknown field'
done
is 2 validate - <"$tmp/job"
says '(line 8)'
is 2 --json validate "$tmp/job"
grep -q '"line":8' "$tmp/out" || fail "JSON without lines: $(cat "$tmp/out")"
is 2 validate "$tmp/job" --set train.batch=16
says '(line 7)'
! grep -q 'train/batch' "$tmp/err" || fail "--set does not reach YAML"

sed -e "s/'16'/16/" -e '/momentu/d' -e '/^optimizer/d' "$tmp/job" >"$tmp/good.yaml"
is 0 validate "$tmp/good.yaml"
is 0 validate - <"$tmp/good.yaml"

# A sweep shows its jobs before they are made, and its mistakes where they stand.
is 0 submit --dry-run "$tmp/good.yaml"
says '"momentum": 0.9'
cat "$tmp/good.yaml" - >"$tmp/sweep.yaml" <<'T'
sweep:
  grid:
    - field: student.weights
      values: [a.safetensors, null]
    - {field: optimizer.lr, values: [0.1, 0.2]}
  seeds: 5..6
T
is 0 validate "$tmp/sweep.yaml"
is 0 submit --dry-run "$tmp/sweep.yaml"
[ "$(wc -l <"$tmp/out")" = 9 ] || fail "not eight jobs: $(cat "$tmp/out")"
says "  0      0  student.weights=$tmp/a.safetens"
grep -qE '^ +7 +3  student.weights=null, optimizer.lr=0.2 +6$' "$tmp/out" || fail "the last job: $(cat "$tmp/out")"
is 0 --json submit --dry-run "$tmp/sweep.yaml" --set 'sweep.seeds="1..90000"' --set sweep.grid.1.values=[1,2,3,4,5,6]
jq -e '.total == 1080000 and (.items | length == 1000) and .items[999].seed == 1000' "$tmp/out" >/dev/null || fail "jobs: $(tail -c 300 "$tmp/out")"
is 2 submit --dry-run "$tmp/sweep.yaml" --set sweep.grid.1.values=[1,-1]
says '#/sweep/grid/1/values/1 (line 12): must be greater than 0, got -1'
sed -i 's/optimizer.lr/optimizer.rl/' "$tmp/sweep.yaml"
is 2 validate "$tmp/sweep.yaml"
says '#/sweep/grid/1/values/0 (line 12): unknown field; did you mean "lr"?'
"${builddir:-.}/distill-worker" train <("$ctl" --json submit --dry-run "$tmp/good.yaml" | jq '.sweep = {seeds: [1]}') --out "$tmp/run" 2>"$tmp/err"
[ $? -eq 2 ] || fail "the worker takes a sweep"
says '#/sweep: is for distilld'

# Files are what their names say.
cp "$tmp/good.yaml" "$tmp/wrong.json"
is 2 validate "$tmp/wrong.json"
says 'not valid JSON: line 1'
echo 'a: [1' >"$tmp/broken.yaml"
is 2 validate "$tmp/broken.yaml"
says "$tmp/broken.yaml: not valid YAML: line"
is 2 run "$tmp/broken.yaml"
is 2 submit "$tmp/broken.yaml"
"${builddir:-.}/distill-worker" train "$tmp/good.yaml" --out "$tmp/run" 2>"$tmp/err"
[ $? -eq 2 ] || fail "the worker takes YAML"
says 'distillctl takes YAML'
# Presets need no server to be listed, printed and checked.
is 0 presets
says 'kd++/resnet32x4-resnet8x4'
says 'ce 1 + dkd 1 (ramp_epochs 20, temperature 4, alpha 2.5, beta 4) + nd 3.5'
is 0 presets kd++/resnet56-resnet20
jq -e '.train.batch == 128 and .losses[2] == {kind: "nd", weight: 2}' "$tmp/out" >/dev/null || fail "presets NAME: $(cat "$tmp/out")"
is 0 --json presets
jq -e 'length > 60 and .["kd++/resnet50-resnet18"].train.lanes == 8' "$tmp/out" >/dev/null || fail "presets --json: $(cat "$tmp/out")"
is 2 presets kd++/resnet56-resnet21
says 'did you mean'
is 0 validate --preset kd++/resnet56-resnet20 --data cifar100:/data --teacher teacher.safetensors --set train.seed=7
[ ! -s "$tmp/err" ] || fail "doubts: $(cat "$tmp/err")"
is 0 validate --preset kd++/resnet56-resnet20 --data cifar100:/data --teacher teacher.safetensors --set train.lanes=8
says 'has lanes of 64 samples, which a batch norm sees; these have 16'
is 2 validate --preset kd++/resnet56-resnet20
says '#/data: is required'
says '#/teacher/weights: is required'
is 2 validate
says 'either SPEC or --preset NAME'
is 2 validate "$tmp/job" --preset kd++/resnet56-resnet20
says 'either SPEC or --preset NAME'
