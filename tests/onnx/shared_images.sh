#!/bin/bash
# The same for a trained network on real images.
. "${srcdir:?}/tests/onnx/lib.sh"
[ -d "$SHARED/data" ] || { echo "SKIP: needs ../shared (CIFAR-100 and a teacher)"; exit 77; }

weights=$SHARED/teachers/resnet20-cifar100.safetensors
reference "cifar100:$("$SHARED/data/unpack")/cifar-100-binary" "$tmp" resnet20 "$weights"
export_model resnet20 "$weights" 100 32
compare
exit 0
