#!/bin/bash
# Every model of the registry, exported: a foreign runtime computes the same logits and features.
. "${srcdir:?}/tests/onnx/lib.sh"

reference procedural:classes=10,train=1,test=16,seed=5 "$tmp"
for weights in "$tmp"/*.safetensors; do
    export_model "$(basename "$weights" .safetensors)" "$weights" 10 32
done
compare
exit 0
