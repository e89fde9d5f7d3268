#!/bin/bash
# Ranks on other hosts: one that hears nothing ends itself, one that is not heard is given up with its
# host, and the shim does not say that the attempt is over before it knows. Another pid namespace stands
# for the other host: the shim sees none of its processes.
. "${srcdir:?}/tests/mpi/lib.sh" || exit 99
[ $launcher != mpich ] || { echo "SKIP: MPICH's shared memory does not reach into another PID namespace"; exit 77; }

unshare --pid --fork true 2>/dev/null || { echo "SKIP: unshare --pid is not allowed (needs root)"; exit 77; }
cat >"$tmp/job.json" <<J
{"kind":"train","name":"job","data":{"source":"procedural:classes=4,train=160,test=32,seed=3"},
 "student":{"model":"resnet8"},"train":{"epochs":1000,"batch":32,"lanes":2},
 "resources":{"ranks":2},"checkpoint":{"every_steps":5}}
J
trap 'touch "$tmp/over"; { kill -CONT "$shim"; kill -9 "$shim"; } 2>/dev/null; rm -rf "$tmp"' EXIT

# Rank 1 is elsewhere.
cat >"$tmp/rank" <<R
#!/bin/sh
[ "\${OMPI_COMM_WORLD_RANK:-\$PMI_RANK}" = 1 ] || exec "$worker" "\$@"
exec unshare --pid --fork --kill-child "$worker" "\$@"
R
chmod +x "$tmp/rank"

start() { # NAME OPTION...
    local name=$1
    shift
    at=$tmp/$name
    mkdir "$at"
    DISTILLD_ATTEMPT=lease-$$-$name.1 "$builddir/distill-shim" --attempt "$at" --out "$at/out" --ranks 2 \
        --watch 127.0.0.1:0 "$@" -- "$tmp/rank" train "$tmp/job.json" --out "$at/out" >"$tmp/log" 2>&1 &
    shim=$!
    until_true "it does not start" has_steps 3
}

has_steps() {
    [ "$(grep -c loss/total "$at/out/metrics.jsonl" 2>/dev/null)" -ge "$1" ] 2>/dev/null
}

until_true() { # WHAT COMMAND...
    local end=$((SECONDS + 40 * ${PATIENCE:-3})) what=$1
    shift
    until "$@"; do
        [ $SECONDS -le $end ] || fail "$what: $(cat "$tmp/log" "$at"/out/logs/* "$at/exit.json" 2>/dev/null)"
        sleep 0.05
    done
}

rank_pids() {
    grep -lzsx "DISTILLD_ATTEMPT=lease-$$-$(basename "$at").1" /proc/[0-9]*/environ | tr -dc '0-9\n' | while read -r p; do
        [ "$(readlink "/proc/$p/exe")" != "$worker" ] || echo "$p"
    done
}

no_ranks() {
    [ -z "$(rank_pids)" ]
}

# The shim stands still: rank 1, and rank 0 with it, end for want of an answer and write nothing more.
start still --lease 2
kill -STOP "$shim"
until_true "ranks go on without a lease" no_ranks
kill -CONT "$shim"
wait "$shim"
grep -q "ends itself: no word from the shim for 2 s" "$at"/out/logs/* || fail "no rank says why: $(cat "$at"/out/logs/*)"
[ "$(jq .status "$at/exit.json")" = 75 ] || fail "the end: $(cat "$at/exit.json")"

# Rank 1 is not heard any more.
start silent --silence 2 --lease 3
for p in $(rank_pids); do
    ! grep -qzsxE "(OMPI_COMM_WORLD|PMI)_RANK=1" "/proc/$p/environ" || kill -STOP "$p"
done
wait "$shim"
[ "$(jq -r .class "$at/exit.json")" = lost_host ] || fail "the end: $(cat "$at/exit.json")"
jq -r .message "$at/exit.json" | grep -q "^no word from rank 1 on host $(hostname) for [0-9]* s" || fail "the end: $(cat "$at/exit.json")"
until_true "ranks are left" no_ranks
exit 0
