#!/bin/bash
# A rank that the kernel ends because memory is short is told apart from one that was killed, and its job is not
# tried again: it would need the memory again.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

says() { # PATH FILTER WANTED WHAT
    api GET "$1"
    [ "$(body "$2")" = "$3" ] || fail "$4: $text"
}

# A cgroup with a limit, of whichever version has the memory controller.
for mount in $(awk '$3 == "cgroup2" || $3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ {print $2}' /proc/self/mounts); do
    group=$mount/distilld-test-$$
    mkdir "$group" 2>/dev/null || continue
    for limit in memory.max memory.limit_in_bytes; do
        [ ! -w "$group/$limit" ] || { echo $((40 << 20)) >"$group/$limit" && break 2; }
    done
    rmdir "$group"
    group=
done
[ -n "${group:-}" ] || { echo "SKIP: no cgroup with a memory limit can be made here (needs root and the memory controller)"; exit 77; }
at_end="rmdir $group"
# What is swapped out does not count: where there is swap, nobody would be ended.
[ ! -w "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"

cat >"$tmp/worker" <<W
#!/bin/bash
[ "\${OMPI_COMM_WORLD_RANK:-\${PMI_RANK:-0}}" != 1 ] || echo \$\$ >"$group/cgroup.procs"
exec "$builddir/distill-worker" "\$@"
W
chmod +x "$tmp/worker"

start_daemon --worker "$tmp/worker"
post_job "$(job '.student.model = "resnet8x4" | .train.batch = 64 | .train.lanes = 2 | .resources.ranks = 2 |
    .data.source = "procedural:classes=4,train=512,test=16,seed=3"')"
expect 202 "submitting"
id=$(body .id)
wait_state "$id" failed
says "/api/v1/jobs/$id" '[.reason.code, .attempt] | tostring' '["attempts_exhausted",1]' "its end"
[[ $(body .reason.message) == "attempt 1 (oom 1 of 1): out of memory: the kernel ended a process: "*"rank 1"* ]] || fail "its reason: $text"
says "/api/v1/jobs/$id/attempts" '.items[0].class' oom "its class"
stop_daemon
