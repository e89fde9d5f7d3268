#!/bin/bash
# Outputs of the teacher that are kept: the same student as from a teacher that runs in every step on the same
# views, on any number of ranks, through a kill while they are made, from the file of another run, and from
# one that was damaged. Whatever changes the numbers is another file.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
seed=${TEST_SEED:-$RANDOM}
echo "TEST_SEED=$seed"
RANDOM=$seed

data='"source":"procedural:classes=4,train=73,test=16,seed=3"'
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{$data},"student":{"model":"resnet14"},
 "train":{"epochs":1,"batch":32,"max_steps":2}}
J
# Taps, and a loss over the whole batch; 73 = 32 + 32 + 9: chunks of 8, and at last lanes of 2, 2, 2 and 3 samples.
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{$data},"student":{"model":"resnet8"},
 "teacher":{"model":"resnet14","weights":"teacher/student.safetensors","cache":{"views":2}},
 "losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd"},{"kind":"reviewkd","mid_width":8},{"kind":"dist","scope":"batch"}],
 "train":{"epochs":3,"batch":32,"lanes":4,"seed":9}}
J
must 1 train "$tmp/teacher.json" --out "$tmp/teacher"
files() {
    find "$DISTILLD_CACHE/teacher_outputs" -name '*.safetensors' 2>/dev/null | sort
}
origin() {
    jq -r .teacher_cache "$1/result.json"
}
train() { # RANKS OUT ORIGIN ARGS...
    local n=$1 out=$2 want=$3
    shift 3
    must "$n" train "$tmp/job.json" --out "$out" "$@"
    [ "$(origin "$out")" = "$want" ] || { cat "$tmp/log"; fail "$out: the cache is $(origin "$out"), not $want"; }
}

train 1 "$tmp/live" null --set teacher.cache.precision=none
[ -z "$(files)" ] || fail "precision none left $(files)"
train 1 "$tmp/one" computed
same "$tmp/live" "$tmp/one" "a cache"
[ "$(files | wc -l)" = 1 ] || fail "not one file: $(files)"
file=$(files)
train 2 "$tmp/two" cached
same "$tmp/live" "$tmp/two" "a cache that was there, on 2 ranks"
cp "$file" "$tmp/good"

# Made by two ranks, it is the same file.
rm "$file"
train 2 "$tmp/two again" computed
same "$tmp/live" "$tmp/two again" "a cache made on 2 ranks"
cmp -s "$file" "$tmp/good" || fail "2 ranks made another file"

# Two views make other epochs than three.
must 1 train "$tmp/job.json" --out "$tmp/endless" --set teacher.cache=null
cmp -s "$tmp/live/metrics.jsonl" "$tmp/endless/metrics.jsonl" && fail "views do not come again"
train 1 "$tmp/enough" null --set teacher.cache.precision=none --set teacher.cache.views=3
cmp -s "$tmp/endless/metrics.jsonl" "$tmp/enough/metrics.jsonl" ||
    fail "as many views as epochs are not those of the epochs"

# Two jobs that begin at the same time both end well, and leave that file.
rm "$file"
"$worker" train "$tmp/job.json" --out "$tmp/beside" >"$tmp/log-beside" 2>&1 &
must 1 train "$tmp/job.json" --out "$tmp/first"
wait $! || { cat "$tmp/log-beside"; fail "the job beside it: status $?"; }
same "$tmp/live" "$tmp/first" "two jobs at once"
same "$tmp/live" "$tmp/beside" "two jobs at once"
cmp -s "$file" "$tmp/good" || fail "two jobs at once made another file"

# Broken off while it is made, some blocks in: what is there stays, the rest is made.
bytes_made() {
    cmp -l "$file" "$tmp/good" 2>/dev/null | wc -l
}
rm "$file"
DISTILLD_FAULT=io:write:$((40 + RANDOM % 60)) ranks 1 train "$tmp/job.json" --out "$tmp/broken" && fail "no fault"
grep -q "teacher.cache: write .*: Input/output error" "$tmp/log" || { cat "$tmp/log"; fail "not broken off there"; }
missing=$(bytes_made)
[ "$missing" != 0 ] || fail "the file was whole all the same"
rm -f "$tmp/part" && cp "$file" "$tmp/part"
train 2 "$tmp/broken" computed
grep -q damaged "$tmp/log" && { cat "$tmp/log"; fail "what is missing is called damaged"; }
same "$tmp/live" "$tmp/broken" "broken off while the cache was made"
cmp -s "$file" "$tmp/good" || fail "another file after that"

# Killed, and stopped, when the first block is there.
for signal in KILL TERM; do
    rm -rf "$file" "$tmp/killed"
    line=$(mpirun_line 2 train "$tmp/job.json" --out "$tmp/killed")
    bash -c "exec $line" >"$tmp/log" 2>&1 &
    pid=$!
    while [ ! -e "$file" ] || [ "$(tail -c 200000 "$file" | tr -d '\0' | head -c 1 | wc -c)" = 0 ]; do
        kill -0 $pid 2>/dev/null || { cat "$tmp/log"; fail "it ended before it could be killed"; }
        sleep 0.02
    done
    pkill -$signal -f "distill-worker train $tmp/job.json --out $tmp/killed"
    wait $pid 2>/dev/null
    while pgrep -f "distill-worker train $tmp/job.json --out $tmp/killed" >/dev/null; do sleep 0.05; done
    must 2 train "$tmp/job.json" --out "$tmp/killed"
    same "$tmp/live" "$tmp/killed" "SIG$signal while the cache was made"
    cmp -s "$file" "$tmp/good" || fail "another file after SIG$signal"
done

# Each rank verifies a part of the file that all read. Ranks whose folders are not the same one, as those of hosts
# that share none, are refused, also where both have that file.
cp -r "$DISTILLD_CACHE" "$tmp/elsewhere"
cat >"$tmp/apart" <<'A'
#!/bin/bash
[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 0 ] || export DISTILLD_CACHE=$1
exec "${@:2}"
A
chmod +x "$tmp/apart"
train_apart() { # OUT ARGS...
    local line
    line=$(mpirun_line 2 train "$tmp/job.json" --out "$@") || fail "no line of mpirun"
    bash -c "${line/$worker/$tmp/apart $tmp/elsewhere $worker}" >"$tmp/log" 2>&1
}
train_apart "$tmp/apart out"
[ $? = 2 ] || { cat "$tmp/log"; fail "two folders of one name: not status 2"; }
grep -q "teacher.cache: rank 1: $tmp/elsewhere/teacher_outputs: expected the folder that rank 0 has" "$tmp/log" ||
    { cat "$tmp/log"; fail "two folders of one name: unclear"; }
[ "$(files)" = "$file" ] && [ -z "$(ls "$DISTILLD_CACHE/teacher_outputs" | grep probe)" ] || fail "the probe stays"

# Class means that one rank alone does not find are computed anew.
rm -r "$tmp/elsewhere/class_means"
train_apart "$tmp/apart live" --set teacher.cache.precision=none || { cat "$tmp/log"; fail "class means are not there on rank 1: status $?"; }
same "$tmp/live" "$tmp/apart live" "class means that are not there on rank 1"

# A flipped bit, anywhere, is told, and made good.
at=$((RANDOM * 32768 + RANDOM))
at=$((at % $(stat -c %s "$file")))
byte=$(od -An -tu1 -j$at -N1 "$file")
printf "\\$(printf %o $((byte ^ 8)))" | dd of="$file" bs=1 seek=$at conv=notrunc 2>/dev/null
cmp -s "$file" "$tmp/good" && fail "byte $at was not flipped"
train 1 "$tmp/flipped" computed
grep -q "warning: .*damaged" "$tmp/log" || { cat "$tmp/log"; fail "byte $at: no warning"; }
same "$tmp/live" "$tmp/flipped" "a cache that was damaged"
cmp -s "$file" "$tmp/good" || fail "the damage at byte $at was not made good"

# What the numbers depend on is in the name; what they do not depend on is not.
train 1 "$tmp/half" computed --set teacher.cache.precision=float16
cmp -s "$tmp/live/metrics.jsonl" "$tmp/half/metrics.jsonl" && fail "float16 does not show"
train 1 "$tmp/half" cached --set teacher.cache.precision=float16 # resumed
[ "$(files | wc -l)" = 2 ] || fail "float16 is no file of its own"
cp -r "$tmp/teacher" "$tmp/teacher2"
f=$tmp/teacher2/student.safetensors
at=$(($(stat -c %s "$f") - 2))
byte=$(od -An -tu1 -j$at -N1 "$f")
printf "\\$(printf %o $((byte ^ 64)))" | dd of="$f" bs=1 seek=$at conv=notrunc 2>/dev/null
n=2
others=(teacher.weights="$f" teacher.cache.seed=10 teacher.cache.views=1 data.augment.hflip=false
    data.train_limit=64 losses.3.teacher_taps=post 'losses=[{"kind":"kd"}]' train.batch=64
    "data={$data,\"mean\":[0.4,0.5,0.5],\"std\":[0.2,0.2,0.2]}")
# Three in a row, by the seed.
at=$((RANDOM % ${#others[@]}))
for other in "${others[@]:$at:3}"; do
    train 1 "$tmp/other$n" computed --set "$other" --set train.max_steps=1
    n=$((n + 1))
    [ "$(files | wc -l)" = $n ] || fail "$other takes the outputs of another job"
done
for same in optimizer.lr=0.01 train.epochs=5 student.model=resnet20; do
    train 1 "$tmp/same-$same" cached --set "$same" --set train.max_steps=1
done
train 1 "$tmp/sweep1" computed --set teacher.cache.seed=5 --set train.max_steps=1
train 1 "$tmp/sweep2" cached --set teacher.cache.seed=5 --set train.seed=10 --set train.max_steps=1

# Without augmentation there is one view, whatever is asked for.
train 1 "$tmp/plain" computed --set data.augment.hflip=false --set data.augment.pad_crop=0 --set train.max_steps=1
train 1 "$tmp/plain1" cached --set data.augment.hflip=false --set data.augment.pad_crop=0 --set train.max_steps=1 \
    --set teacher.cache.views=1 --set train.seed=11

# Where there is no room, that is said before anything is trained.
rm -rf "$DISTILLD_CACHE/teacher_outputs"
: >"$DISTILLD_CACHE/teacher_outputs"
ranks 2 train "$tmp/job.json" --out "$tmp/nowhere" && fail "no folder, no error"
grep -q "teacher.cache: .*teacher_outputs" "$tmp/log" || { cat "$tmp/log"; fail "the cache is not named"; }
exit 0
