#!/bin/bash
# A student that is trained here and by the same distillation in PyTorch, from the same first weights and class
# means on the same batches: losses of every step and all weights at the end, for every method, with and
# without ND, and with a projector.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
SHARED=${SHARED:-$srcdir/../shared}
[ -d "$SHARED/peer" ] || { echo "SKIP: needs ../shared (the peer)"; exit 77; }
/usr/bin/python3 -c 'import torch' 2>/dev/null || { echo "SKIP: PyTorch is not installed (Debian package python3-torch)"; exit 77; }
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$srcdir/tests/conformance/peer.py" "$SHARED/peer" "$worker" "$tmp" "$@" ||
    fail "not what PyTorch trains"
exit 0
