# Sourced in place of lib.sh: hosts made of namespaces, each with its own network, name, processes and sshd,
# beside the one on which the daemon runs. They share the files of this machine, as a cluster shares its
# storage.
#
# The test runs in a network of its own, which is the daemon's: nothing of the machine's network is
# touched, and all of it goes when the test's processes do. The test sees the processes of all hosts; the
# daemon and what it starts are in a process namespace of their own and see only theirs.
# shellcheck shell=bash

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || { echo "SKIP: network namespaces need root"; exit 77; }
    for tool in ip:iproute2 /usr/sbin/sshd:openssh-server ssh-keygen:openssh-client pgrep:procps; do
        command -v "${tool%:*}" >/dev/null ||
            { echo "SKIP: ${tool%:*} is not installed (Debian package ${tool#*:})"; exit 77; }
    done
    unshare --net --mount --uts --pid --fork ip link add probe type veth peer name other 2>/dev/null ||
        { echo "SKIP: this machine allows no network namespaces"; exit 77; }
    exec unshare --net --mount bash "$0" inside
fi
. "${srcdir:?}/tests/e2e/lib.sh"
at_end=hosts_down

declare -A host_pid=() # the first process of each host, by its name

# The only child of a process, once it is there.
child_of() { # PID
    local child=
    until [ -n "$child" ]; do
        pause 0.02
        read -r child <"/proc/$1/task/$1/children" # has no end of line
    done 2>/dev/null
    echo "${child%% *}"
}

coordinator_up() {
    ip link set lo up
    # Without an address of its own it takes one of its ports', and another when that port goes.
    ip link add bridge0 address 02:00:00:00:00:01 type bridge
    ip addr add 10.77.0.254/24 dev bridge0
    ip link set bridge0 up
    ssh-keygen -q -t ed25519 -N '' -f "$tmp/key"
    cp "$tmp/key.pub" "$tmp/authorized_keys"
    echo "127.0.0.1 localhost" >"$tmp/hosts"
    mount --bind "$tmp/hosts" /etc/hosts
    unshare --uts --mount --pid --fork --kill-child --mount-proc \
        bash -c "hostname $cluster-0; exec sleep infinity" &
    keepers+=($!)
    coordinator=$(child_of $!)
    agent="ssh -i $tmp/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=2"
}

# Host N, with the address 10.77.0.N and the name in $cluster-N.
host_up() { # N
    local name=$cluster-$1
    cat >"$tmp/sshd-$1" <<END
ListenAddress 10.77.0.$1
HostKey $tmp/key
AuthorizedKeysFile $tmp/authorized_keys
PidFile none
UsePAM no
StrictModes no
UseDNS no
END
    # Sanitizers are told by the environment where to report, on every host.
    env | grep -E '^(ASAN|LSAN|TSAN|UBSAN)_OPTIONS=' | tr '\n' ' ' | sed 's/^./SetEnv &/' >>"$tmp/sshd-$1"
    grep -q " $name\$" "$tmp/hosts" || echo "10.77.0.$1 $name" >>"$tmp/hosts"
    unshare --net --uts --mount --pid --fork --kill-child --mount-proc bash -c "
        hostname $name
        mount -t tmpfs none /dev/shm
        [ ! -e ~/.bashrc ] || mount --bind /dev/null ~/.bashrc # what a user's shell does at login is no matter of ours
        mkdir -p /run/sshd
        until ip addr show dev eth0 2>/dev/null | grep -q 10.77.0.$1/; do sleep 0.02; done
        exec /usr/sbin/sshd -D -e -f '$tmp/sshd-$1'" >"$tmp/sshd-$1.log" 2>&1 &
    keepers+=($!)
    host_pid[$1]=$(child_of $!)
    until ip link add "v$1" type veth peer name eth0 netns "${host_pid[$1]}" 2>/dev/null; do
        ip link del "v$1" 2>/dev/null # of a host that went down and whose namespace is not gone yet
        pause 0.05
    done
    ip link set "v$1" master bridge0 up
    nsenter -t "${host_pid[$1]}" --net sh -c "ip link set lo up; ip link set eth0 up; ip addr add 10.77.0.$1/24 dev eth0"
    within 10 listens "$1" || fail "host $1: $(cat "$tmp/sshd-$1.log")"
}

listens() { # N
    (: >"/dev/tcp/10.77.0.$1/22") 2>/dev/null
}

# A command on a host, whatever its network is like.
on() { # N COMMAND...
    nsenter -t "${host_pid[$1]}" --all "${@:2}"
}

cut_link() { # N
    ip link set "v$1" down
}

mend_link() { # N
    ip link set "v$1" up
}

power_off() { # N
    kill -9 "${host_pid[$1]}"
}

# As lib.sh has it, but on the first of the hosts' network, and with a process namespace of its own.
start_daemon() { # [OPTION]...
    rm -f "$state/address"
    nsenter -t "$coordinator" --pid --mount --uts "$builddir/distilld" --state "$state" \
        --listen 127.0.0.1:0 --hostfile "$tmp/hostfile" --advertise 10.77.0.254 \
        --network 10.77.0.0/24 --launch-agent "$agent" "$@" >>"$tmp/daemon.log" 2>&1 &
    daemon=$(child_of $!)
    disown
    within 20 has_address
    [ -s "$state/address" ] || fail "the daemon did not start"
    url=$(cat "$state/address")
    address=${url#http://}
    address=${address%:*}/${address##*:}
    token=$(cat "$state/token")
}

# Everything ends with the first process of each namespace.
hosts_down() {
    kill -9 "${keepers[@]}" "${host_pid[@]}" ${coordinator:+"$coordinator"} 2>/dev/null
    wait "${keepers[@]}" 2>/dev/null
    rm -rf "/tmp/ompi.$cluster-"*
}
keepers=() coordinator=
cluster=d$$
