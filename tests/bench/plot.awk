# Lines "axis<TAB>x<TAB>ms per image<TAB>GFLOP/s" -> bars, one group for each axis. Bars of a group are to
# scale: a cost that is proportional to x doubles its bar when x doubles.

function bar(n,    s) {
    while (n-- > 0)
        s = s "#"
    return s
}
function flush(    i, most) {
    for (i = 1; i <= n; i++)
        if (cost[i] > most)
            most = cost[i]
    printf "\n%s\n", axis
    for (i = 1; i <= n; i++)
        printf "%8s  %-50s %9.3f ms/image %8.1f GFLOP/s\n", x[i], bar(int(50 * cost[i] / most + 0.5)), cost[i], rate[i]
    n = 0
}

BEGIN { FS = "\t" }
$1 != axis && n { flush() }
{ axis = $1; x[++n] = $2; cost[n] = $3; rate[n] = $4 }
END { if (n) flush() }
