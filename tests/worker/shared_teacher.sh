#!/bin/bash
# The PyTorch teacher on the 10,000 test images of CIFAR-100: 5,845 right at top-1 and 8,613 at top-5, as
# in PyTorch, from both of its files. For two images the two best logits tie within rounding, so top-1 may be off by two.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
[ -d "$SHARED/data" ] || { echo "SKIP: needs ../shared (CIFAR-100 and a teacher)"; exit 77; }

# Not two at once: on a fresh machine it writes what another one reads.
data=$(flock "$SHARED/data/unpack" "$SHARED/data/unpack") || fail "data/unpack"
for form in safetensors pth; do
    cat >"$tmp/job.json" <<J
{"kind":"eval","name":"teacher","data":{"source":"cifar100:$data/cifar-100-binary"},
 "student":{"model":"resnet20","weights":"$SHARED/teachers/resnet20-cifar100.$form"},
 "train":{"batch":256}}
J
    must 2 eval "$tmp/job.json" --out "$tmp/$form"
    jq -e '(.final.top1 * 100 - 5845 | fabs) <= 2.001 and (.final.top5 * 100 - 8613 | fabs) <= 1.001' \
        "$tmp/$form/result.json" >/dev/null || { cat "$tmp/$form/result.json"; fail "other figures than PyTorch's"; }
    jq -c .final "$tmp/$form/result.json"
done
exit 0
