# Sourced by run and points: a daemon that dies again and again, and a client that does not mind.
# shellcheck shell=bash
: "${srcdir:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}" "${builddir:=$PWD}"
export srcdir builddir
. "$srcdir/tests/e2e/lib.sh" || exit 99
unset DISTILLD_FAULT # what strikes at random is to meet a run at its own pace

# How strace kills at the n-th call of a kind. The process is ours and strace its grandchild, so that it
# has the pid of the process that is started.
kill_at() { # CALL N
    echo strace -D -o /dev/null -e "trace=$1" -e "inject=$1:signal=SIGKILL:when=$2"
}

can_strace() {
    strace -D -o /dev/null -e trace=none true 2>/dev/null
}

daemon_options=(--slots 4)
doomed=0 # more: the daemon may die

restart() { # [COMMAND...]: that runs it
    [ -z "$daemon" ] || kill_daemon
    under=("$@") doomed=$#
    if try_daemon "${daemon_options[@]}" 2>/dev/null; then
        disown "$daemon" 2>/dev/null # the shell has nothing to say about its end
    else
        revive
    fi
}

# Starts it again if it has died.
revive() {
    daemon_gone || return 0
    [ "$doomed" -gt 0 ] || fail "the daemon has died by itself"
    daemon=
    restart
}

# The id of the job of this name, in $id; "" when there is none.
find_job() { # NAME
    id=$(get "/api/v1/jobs?page_size=5" ".items[] | select(.name == \"$1\").id")
}

# Submits until it is acknowledged, and sets $id. A job whose answer was lost is looked for before it is
# sent again.
offer() { # JSON NAME
    while :; do
        post_job "$(jq -c ".name = \"$2\"" <<<"$1")"
        if [ "$code" = 202 ]; then
            id=$(body .id)
            return
        fi
        revive
        find_job "$2"
        [ -z "$id" ] || return
    done
}
