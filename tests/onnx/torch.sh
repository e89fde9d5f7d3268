#!/bin/bash
# Files of a PyTorch that is here: a .pth and graphs in operator sets 13 to 17 give its features and logits,
# and what export writes is what its load_state_dict takes.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
/usr/bin/python3 -c 'import torch' 2>/dev/null || { echo "SKIP: PyTorch is not installed (Debian package python3-torch)"; exit 77; }

nets() { # ARGS...
    /usr/bin/python3 "$srcdir/tests/onnx/torch_nets.py" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "torch_nets.py $*"; }
}
same() { # GOT WANTED ...: floats that agree to 1e-5 of the largest
    /usr/bin/python3 - "$@" <<'P' || fail "other figures than PyTorch's"
import sys, numpy
bad = False
for names in zip(sys.argv[1::2], sys.argv[2::2]):
    got, want = (numpy.fromfile(f, "<f4").astype(float) for f in names)
    error = abs(got - want).max() / abs(want).max()
    print(f"{names[0]}: largest deviation {error:.1e}")
    bad |= not error <= 1e-5
sys.exit(int(bad))
P
}
images=procedural:classes=10,train=1,test=16,seed=5
compute() { # FILE MODEL: what it gives for the images
    mkdir -p "$tmp/$1"
    "$builddir/tests/onnx/reference" $images "$tmp/$1" "$2" "$tmp/nets/$1" || fail "reference $*"
}
pairs=()
check() { # FILE MODEL NET
    pairs+=("$tmp/$1/$2.logits" "$tmp/nets/$3.logits" "$tmp/$1/$2.features" "$tmp/nets/$3.feat")
}
mkdir "$tmp/nets"
nets models "$tmp/nets"
compute resnet8.pth resnet8
nets results "$tmp/nets" "$tmp/resnet8.pth/images"
check resnet8.pth resnet8 residual
for net in residual shuffled; do
    for opset in 13 14 15 16 17; do
        compute $net-$opset.onnx onnx
        check $net-$opset.onnx onnx $net
    done
done
same "${pairs[@]}"
"$worker" export "$tmp/nets/resnet8.pth" --format safetensors -o "$tmp/exported.safetensors" --model resnet8 --classes 10 \
    --size 32 >/dev/null || fail "export: status $?"
nets loads "$tmp/nets/resnet8.pth" "$tmp/exported.safetensors"
exit 0
