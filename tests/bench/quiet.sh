# Was this machine ours? Sourced. What others took of its cores between two looks, from /proc/stat.
# shellcheck shell=bash

ticks=$(getconf CLK_TCK)

# Sets $look: seconds since boot; ticks since boot that cores were busy, that other machines took, and that
# children of this shell used which have ended. No subshell may call it: that has children of its own.
quiet_look() { # FILE, for what `times` prints
    local name user nice system idle iowait irq softirq steal rest up
    # shellcheck disable=SC2034
    read -r name user nice system idle iowait irq softirq steal rest </proc/stat
    read -r up rest </proc/uptime
    times >"$1"
    look="$up $((user + nice + system + irq + softirq)) $steal $(quiet_children "$1")"
}

# Its second line is of children: "0m1.250s 0m0.020s".
quiet_children() { # FILE
    awk -v ticks="$ticks" 'NR == 2 {
        for (i = 1; i <= 2; i++) { split($i, t, /[ms]/); s += 60 * t[1] + t[2] }
        printf "%d\n", s * ticks }' "$1"
}

# Cores that others used, and that other machines took, on average between two looks: "0.03 0.00".
quiet_between() { # LOOK LOOK
    echo "$1 $2" | awk -v ticks="$ticks" '{
        span = ($5 - $1) * ticks
        other = ($6 - $2) - ($8 - $4)
        printf "%.2f %.2f\n", (span > 0 && other > 0 ? other / span : 0), (span > 0 ? ($7 - $3) / span : 0) }'
}
