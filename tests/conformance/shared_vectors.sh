#!/bin/bash
# The golden vectors beside the checkout: losses, layers, optimisers, class means, ONNX and models all pass.
set -u
[ -d "$SHARED/vectors" ] || { echo "SKIP: needs ../shared (golden vectors)"; exit 77; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-vectors-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
worker=$builddir/distill-worker

fail() {
    echo "FAIL: $*"
    exit 1
}

layers=layer.conv2d,layer.batchnorm,layer.relu,layer.relu6,layer.maxpool,layer.avgpool,layer.globalavgpool
layers+=,layer.linear,layer.channel_shuffle,layer.nearest,layer.gate_mix
losses=loss.ce,loss.kd,loss.dkd,loss.dist,loss.nd,loss.cos,loss.infonce,loss.sifn,loss.hafn,loss.norml2
losses+=,loss.hcl,block.abf
whole=$losses,$layers,optim.sgd,optim.adamw,centers,onnx
"$worker" conformance "$SHARED/vectors" --kinds $whole >"$tmp/whole" ||
    { grep -v '"pass"' "$tmp/whole"; fail "--kinds $whole: status $?"; }
"$worker" conformance "$SHARED/vectors" --kinds $losses,$layers --backend ref >"$tmp/ref" ||
    { grep -v '"pass"' "$tmp/ref"; fail "--kinds $losses,$layers --backend ref: status $?"; }

"$worker" conformance "$SHARED/vectors" --kinds model >"$tmp/models" ||
    { grep -v '"pass"' "$tmp/models"; fail "--kinds model: status $?"; }
[ "$(jq -s 'map(select(.kind == "model")) | length' "$tmp/models")" -ge 20 ] || fail "models are missing: $(cat "$tmp/models")"
exit 0
