# Sourced by the tests of ranks. Runs of several go through the mpirun line that the product builds; one rank is
# the worker alone, in half the time.
# shellcheck shell=bash
set -u
tmp=$(mktemp -d "${TMPDIR:-/tmp}/distilld-mpi-XXXXXX")
export DISTILLD_CACHE=$tmp/cache
trap 'rm -rf "$tmp"' EXIT
worker=$builddir/distill-worker
case $("$builddir/distill-shim" --print-mpirun -- true) in
mpirun.mpich*) launcher=mpich ;;
*) launcher=openmpi ;;
esac

fail() {
    echo "FAIL: $*"
    exit 1
}

# The shell line for N ranks of the worker.
mpirun_line() { # N ARGS...
    local n=$1
    shift
    "$builddir/distill-shim" --print-mpirun --ranks "$n" --threads 1 -- "$worker" "$@"
}

# Runs it; what it printed is in $tmp/log, its status is returned.
ranks() { # N ARGS...
    local line
    if [ "$1" = 1 ]; then
        "$worker" "${@:2}" >"$tmp/log" 2>&1
        return
    fi
    line=$(mpirun_line "$@") || fail "distill-shim --print-mpirun $*"
    bash -c "$line" >"$tmp/log" 2>&1
}

must() { # N ARGS...
    local status
    ranks "$@" && return
    status=$?
    cat "$tmp/log"
    fail "$*: status $status"
}

# The files that the determinism contract covers are the same in both folders.
same() { # A B WHAT
    local a=$1 b=$2 f
    for f in metrics.jsonl student.safetensors student.onnx best.safetensors class_means.safetensors; do
        [ -e "$a/$f" ] || continue
        cmp -s "$a/$f" "$b/$f" || fail "$3: $f differs"
    done
    for f in "$a"/checkpoints/*.safetensors; do
        cmp -s "$f" "$b/checkpoints/$(basename "$f")" || fail "$3: $(basename "$f") differs"
    done
}

differ() { # A B WHAT
    ! cmp -s "$1/student.safetensors" "$2/student.safetensors" || fail "$3 gives the same student"
}
