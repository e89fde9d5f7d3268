#!/bin/bash
# The same for a trained network on real images.
. "${srcdir:?}/tests/onnx/lib.sh"
[ -d "$SHARED/data" ] || { echo "SKIP: needs ../shared (CIFAR-100 and a teacher)"; exit 77; }

weights=$SHARED/teachers/resnet20-cifar100.safetensors
# Not two at once: on a fresh machine it writes what another one reads.
data=$(flock "$SHARED/data/unpack" "$SHARED/data/unpack") || fail "data/unpack"
reference "cifar100:$data/cifar-100-binary" "$tmp" resnet20 "$weights"
export_model resnet20 "$weights" 100 32
compare
exit 0
