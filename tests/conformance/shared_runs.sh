#!/bin/bash
# The golden vectors of training runs, some within more than one tolerance.
set -u
[ -d "$SHARED/vectors" ] || { echo "SKIP: needs ../shared (golden vectors)"; exit 77; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-vectors-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
worker=$builddir/distill-worker

fail() {
    echo "FAIL: $*"
    exit 1
}

"$worker" conformance "$SHARED/vectors" --kinds trajectory >"$tmp/some"
# The case's line: CASE must have passed, or be off by no more than so many tolerances.
must() { # CASE [TOLERANCES]
    jq -se --arg name "$1" --argjson most "${2:-1}" \
        'any(.case == $name and .status != "unsupported" and .reason == null and .error_over_tolerance <= $most)' \
        "$tmp/some" >/dev/null || fail "$1: $(grep "\"case\":\"$1\"" "$tmp/some")"
}
# A row of a trajectory is allowed ten times what two float32 runs of PyTorch happened to miss it by, which
# for some rows is next to nothing: a third such run, its weights off by half a last bit, misses
# kdpp_r8x4_r20 by 1.8 tolerances. So one tolerance would test luck on processors with other kernels.
for case in ce_r20 kdpp_r56_r20 kdpp_r56_r20_natural kdpp_r8x4_r20 kdpp_r8x4_sv2 dkdpp_r56_r20 distpp_r56_r20 \
    reviewkdpp_r56_r20; do
    must $case 2
    jq -c 'select(.case == "'$case'") | {case, error_over_tolerance, worst}' "$tmp/some"
done
exit 0
