#!/bin/bash
# A job on folders of images of many sizes: the same bytes on 1, 2 and 4 ranks, with any number of decoding
# threads, from a shard, and when it is killed and goes on; what makes other images, makes another student.
# An image that is cut off ends the job with its name, or is left out by all ranks alike.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99

"$builddir/tests/images/make_set" "$tmp/set" 3 13 5 || fail make_set
cat >"$tmp/teacher.json" <<J
{"kind":"train","name":"teacher","data":{"source":"imagefolder:set","image_size":24},
 "student":{"model":"resnet8"},"train":{"epochs":1,"batch":16,"max_steps":2,"seed":5}}
J
cat >"$tmp/job.json" <<J
{"kind":"distill","name":"student","data":{"source":"imagefolder:set","image_size":24},
 "teacher":{"model":"resnet8","weights":"teacher/student.safetensors"},"student":{"model":"resnet8"},
 "losses":[{"kind":"ce"},{"kind":"kd"},{"kind":"nd"}],"train":{"epochs":3,"batch":16,"seed":9},
 "checkpoint":{"every_steps":2,"keep":9}}
J
must 2 train "$tmp/teacher.json" --out "$tmp/teacher"
must 1 train "$tmp/job.json" --out "$tmp/one"
for n in 2 4; do
    rm -rf "$tmp/cache"
    must $n train "$tmp/job.json" --out "$tmp/ranks$n" --set data.decode_threads=$((n + 1))
    same "$tmp/one" "$tmp/ranks$n" "$n ranks"
done

# From the checkpoint of step 4 of 9, by other ranks.
mkdir -p "$tmp/resumed/checkpoints"
cp "$tmp/one/spec.json" "$tmp/one/metrics.jsonl" "$tmp/resumed/"
cp "$tmp"/one/checkpoints/step-00000000[2-4].* "$tmp/resumed/checkpoints/"
must 2 train "$tmp/job.json" --out "$tmp/resumed"
[ "$(jq .resumed_from "$tmp/resumed/result.json")" = 4 ] || fail "not resumed from step 4"
same "$tmp/one" "$tmp/resumed" "resumed"

# Packed, the content is the same; so are metrics and class means.
"$worker" pack "imagefolder:$tmp/set" "$tmp/set.shard" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail pack; }
for split in train test; do
    for source in "imagefolder:$tmp/set" "shard:$tmp/set.shard"; do
        "$worker" manifest "$source" --json | jq ".$split" >"$tmp/manifest-$split-${source%%:*}" || fail "manifest $source"
    done
    cmp -s "$tmp/manifest-$split-imagefolder" "$tmp/manifest-$split-shard" || fail "manifests of $split differ"
done
[ "$(jq -c '[.images, .skipped, .classes[1]]' "$tmp/manifest-train-shard")" = '[39,0,{"name":"class-b","images":13}]' ] ||
    fail "$(cat "$tmp/manifest-train-shard")"
must 2 train "$tmp/job.json" --out "$tmp/shard" --set "data.source=shard:$tmp/set.shard"
for f in metrics.jsonl class_means.safetensors; do
    cmp -s "$tmp/one/$f" "$tmp/shard/$f" || fail "a shard: $f differs"
done

# What matters, shows: also in the class means, where it changes the evaluation view.
must 2 train "$tmp/job.json" --out "$tmp/whole" --set data.augment.random_resized_crop=false
differ "$tmp/one" "$tmp/whole" "no random part"
must 2 train "$tmp/job.json" --out "$tmp/scale" --set data.augment.scale_min=0.5
differ "$tmp/one" "$tmp/scale" "another scale"
must 2 train "$tmp/job.json" --out "$tmp/resize" --set data.resize=32
cmp -s "$tmp/one/class_means.safetensors" "$tmp/resize/class_means.safetensors" &&
    fail "class means of another view are the same"

# Half an image: the job ends and names it, also where only one of the ranks meets it.
head -c 400 "$tmp/set/train/class-b/007.JPEG" >"$tmp/half" && mv "$tmp/half" "$tmp/set/train/class-b/007.JPEG"
for n in 1 4; do
    ranks $n train "$tmp/job.json" --out "$tmp/bad$n" --set "kind=train" --set teacher=null --set 'losses=null'
    [ $? = 65 ] || { cat "$tmp/log"; fail "$n ranks: not status 65 for half an image"; }
    grep -q "train/class-b/007.JPEG: damaged or cut off JPEG of 400 bytes" "$tmp/log" ||
        { cat "$tmp/log"; fail "the image is not named"; }
done

# Left out, it is left out for all; the second time from memory.
must 1 train "$tmp/job.json" --out "$tmp/skip1" --set data.on_corrupt=skip
grep -q "warning: 1 training records are skipped" "$tmp/log" || { cat "$tmp/log"; fail "nothing was said"; }
must 4 train "$tmp/job.json" --out "$tmp/skip4" --set data.on_corrupt=skip
grep -q "train/class-b/007.JPEG: damaged or cut off JPEG" "$tmp/log" || { cat "$tmp/log"; fail "not named"; }
same "$tmp/skip1" "$tmp/skip4" "a skipped image on 4 ranks"
[ "$("$worker" manifest "imagefolder:$tmp/set" --skip-corrupt --json | jq -c '.train | [.images, .skipped]')" = '[38,1]' ] ||
    fail "the manifest does not tell of the skipped image"
# Each split tells of its own, and what is no image is told of once.
echo x >"$tmp/set/train/class-a/notes.txt"
must 1 train "$tmp/job.json" --out "$tmp/val" --set kind=train --set teacher=null --set losses=null \
    --set train.epochs=1 --set data.on_corrupt=skip --set data.val_fraction=0.9
rm "$tmp/set/train/class-a/notes.txt"
grep -q "warning: 1 validation records are skipped" "$tmp/log" || { cat "$tmp/log"; fail "nothing was said of validation"; }
jq -e '.data.skipped | .train.records == 1 and .val.records == 1 and (.val.first[0] | test("class-b/007.JPEG"))' \
    "$tmp/val/result.json" >/dev/null || { jq .data "$tmp/val/result.json"; fail "another account of what is skipped"; }
"$worker" pack "imagefolder:$tmp/set" "$tmp/bad.shard" >"$tmp/log" 2>&1 && fail "half an image was packed"
[ ! -e "$tmp/bad.shard" ] || fail "half a shard was left"
"$worker" pack "imagefolder:$tmp/set" "$tmp/good.shard" --skip-corrupt --size 40 >"$tmp/log" 2>&1 || fail "pack --skip-corrupt"
grep -q "38 training and 15 test images of 3 classes" "$tmp/log" || { cat "$tmp/log"; fail "pack --skip-corrupt"; }
must 2 train "$tmp/job.json" --out "$tmp/small" --set "data.source=shard:$tmp/good.shard"
exit 0
