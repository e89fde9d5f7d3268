#!/bin/bash
# Data from files: grey images train and export, on any number of ranks the same; a bad record ends the
# job with its place in the file, or is left out and told of.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

be32() { # NUMBER...
    local hex
    for hex in $(printf '%08x ' "$@"); do
        printf "\\x${hex:0:2}\\x${hex:2:2}\\x${hex:4:2}\\x${hex:6:2}"
    done
}
labels() { # N
    local i
    for ((i = 0; i < $1; i++)); do printf "\\x0$((i % 10))"; done
}
pixels() { # BYTES
    yes "$("$worker" --help)" | head -c "$1"
}
data=$tmp/mnist
mkdir "$data"
for split in train:40 t10k:20; do
    n=${split#*:}
    { be32 2051 "$n" 28 28; pixels $((n * 784)); } >"$data/${split%:*}-images-idx3-ubyte"
    { be32 2049 "$n"; labels "$n"; } >"$data/${split%:*}-labels-idx1-ubyte"
done
cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"idx:mnist"},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":20,"lanes":2}}
J
must 1 train "$tmp/job.json" --out "$tmp/one"
gzip "$data"/t*
sleep 2.1 # the hash of files that have just changed is not kept
(cd "$tmp" && must 2 train - --out "$tmp/two" <job.json) || exit 1 # rank 0 reads the job for both
same "$tmp/one" "$tmp/two" "packed data on 2 ranks"
jq -e '.data | .train_images == 40 and .test_images == 20 and .classes == 10 and .skipped == {}' \
    "$tmp/one/result.json" >/dev/null || { cat "$tmp/one/result.json"; fail "result.json"; }
"$worker" export "$tmp/one" >/dev/null || fail "export: status $?"
grep -qa '0.1307,0.1307,0.1307' "$tmp/one/student.onnx" || fail "student.onnx does not tell the mean"

# The hash is kept beside the data, and the same whether kept or computed.
ls "$data/.distilld/"*.json >/dev/null || fail "nothing is remembered beside the data"
must 1 train "$tmp/job.json" --out "$tmp/three"
must 1 train "$tmp/job.json" --out "$tmp/four" --verify-data
for run in three four; do same "$tmp/one" "$tmp/$run" "run $run"; done

# A run does not go on with other data, of either set.
gzip -d "$data"/*.gz
for set in train:training t10k:test; do
    rm -rf "$tmp/other"
    cp -r "$data" "$tmp/other"
    printf '\xff' | dd of="$tmp/other/${set%:*}-images-idx3-ubyte" bs=1 seek=100 conv=notrunc status=none
    ranks 1 train "$tmp/job.json" --out "$tmp/four" --set data.source="idx:$tmp/other"
    [ $? = 2 ] || { cat "$tmp/log"; fail "went on with other ${set#*:} data"; }
    grep -q "was made with other ${set#*:} data" "$tmp/log" || { cat "$tmp/log"; fail "other ${set#*:} data"; }
done

# A label of class 10 (record 7), and no end.
printf '\x0a' | dd of="$data/train-labels-idx1-ubyte" bs=1 seek=15 conv=notrunc status=none
truncate -s -100 "$data/train-images-idx3-ubyte"
ranks 2 train "$tmp/job.json" --out "$tmp/bad"
status=$?
[ $status = 65 ] || { cat "$tmp/log"; fail "bad data: status $status"; }
grep -q 'train-images-idx3-ubyte: expected 40 records of 784 bytes, got 39 whole ones' "$tmp/log" ||
    { cat "$tmp/log"; fail "the cut file is not named"; }
must 2 train "$tmp/job.json" --out "$tmp/bad" --set data.on_corrupt=skip
grep -q 'warning: 2 training records are skipped' "$tmp/log" || { cat "$tmp/log"; fail "skipped in silence"; }
jq -e '.data | .train_images == 38 and .skipped.train.records == 2
    and (.skipped.train.first | length == 2 and (.[1] | test("record 7: expected a label of 0 to 9, got 10")))' \
    "$tmp/bad/result.json" >/dev/null || { cat "$tmp/bad/result.json"; fail "result.json of the rest"; }
differ "$tmp/bad" "$tmp/one" "a set without two images"
exit 0
