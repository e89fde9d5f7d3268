# A Slurm of our own to compare with: one controller, its REST daemon on a UNIX socket, and one node that is never
# given work. Sourced by tests/bench/service. Everything lies in one folder; no munge, no cgroups, no systemd.
# shellcheck shell=bash

slurm_pids=()

slurm_missing() { # prints what has to be installed
    local p
    for p in slurmctld:slurmctld slurmrestd:slurmrestd; do
        command -v "${p%:*}" >/dev/null || { echo "${p#*:}" && return; }
    done
}

# The socket of slurmrestd is FOLDER/rest.sock. Jobs are taken in and wait, as behind our paused queue: the partition
# is down.
slurm_start() { # FOLDER
    local host
    host=$(hostname -s)
    mkdir -p "$1/state" "$1/spool"
    cat >"$1/slurm.conf" <<C
ClusterName=bench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${slurm_port:-16817}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmctldLogFile=$1/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MaxJobCount=1000000
MailProg=/bin/true
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${slurm_port:-16817} + 1)) CPUs=2 State=UNKNOWN
PartitionName=main Nodes=n1 Default=YES State=DOWN
C
    echo "CgroupPlugin=cgroup/v1" >"$1/cgroup.conf"
    export SLURM_CONF=$1/slurm.conf
    slurmctld -D -i -c >"$1/slurmctld.out" 2>&1 &
    slurm_pids+=($!)
    within 10 scontrol ping >/dev/null 2>&1 || fail "slurmctld does not answer: $(tail -n 5 "$1/slurmctld.out")"
    SLURMRESTD_SECURITY=disable_user_check slurmrestd -f "$SLURM_CONF" -a rest_auth/local -s openapi/v0.0.38 \
        "unix:$1/rest.sock" >"$1/slurmrestd.out" 2>&1 &
    slurm_pids+=($!)
    within 10 test -S "$1/rest.sock" || fail "slurmrestd does not listen: $(tail -n 5 "$1/slurmrestd.out")"
}

slurm_stop() {
    [ ${#slurm_pids[@]} = 0 ] || kill -9 "${slurm_pids[@]}" 2>/dev/null
    wait "${slurm_pids[@]}" 2>/dev/null
    slurm_pids=()
}

# What `load` submits: a job that does nothing.
slurm_job() {
    jq -nc '{script: "#!/bin/sh\ntrue\n", job: {name: "bench", environment: {PATH: "/bin"}, current_working_directory: "/tmp"}}'
}
