#!/bin/bash
# The PyTorch teacher on the 10,000 test images of CIFAR-100: 5,845 right at top-1 and 8,613 at top-5, as
# in PyTorch; the same from both of its files. For two images the two best logits tie within rounding, so top-1 may be
# off by two.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
[ -d "$SHARED/data" ] || { echo "SKIP: needs ../shared (CIFAR-100 and a teacher)"; exit 77; }

evaluate() { # OUT FORM SOURCE: what the teacher's file of this form gives, in $final
    cat >"$tmp/job.json" <<J
{"kind":"eval","name":"teacher","data":{"source":"$3"},
 "student":{"model":"resnet20","weights":"$SHARED/teachers/resnet20-cifar100.$2"},
 "train":{"batch":256}}
J
    must 2 eval "$tmp/job.json" --out "$tmp/$1"
    final=$(jq -c .final "$tmp/$1/result.json")
    echo "$1: $final"
}

# Not two at once: on a fresh machine it writes what another one reads.
data=$(flock "$SHARED/data/unpack" "$SHARED/data/unpack") || fail "data/unpack"
evaluate cifar pth "cifar100:$data/cifar-100-binary"
jq -e '(.top1 * 100 - 5845 | fabs) <= 2.001 and (.top5 * 100 - 8613 | fabs) <= 1.001' <<<"$final" >/dev/null ||
    fail "other figures than PyTorch's"

few=procedural:classes=100,train=1,test=500,seed=1
evaluate pth pth $few
want=$final
evaluate safetensors safetensors $few
[ "$final" = "$want" ] || fail "the teacher's two files give $want and $final"
exit 0
