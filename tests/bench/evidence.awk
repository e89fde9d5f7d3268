# curves.tsv of tests/bench/evidence -> its report. Variable: methods, in the order of the rows.

function mean(v, n,    i, s) {
    for (i = 1; i <= n; i++)
        s += v[i]
    return n ? s / n : 0
}
function deviation(v, n, m,    i, s) {
    for (i = 1; i <= n; i++)
        s += (v[i] - m) ^ 2
    return n > 1 ? sqrt(s / (n - 1)) : 0
}
# 97.5 % quantile of Student's t, which turns a deviation of few differences into an interval.
function t_quantile(df) {
    split("12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228", table, " ")
    return df <= 10 ? table[df] : 1.96 + 2.5 / df
}

NR > 1 {
    key = $1 SUBSEP $2
    if (!(key in last) || $3 > last[key])
        last[key] = $3
    seeds[$2]
    top1[key, $3] = $4
    if ($3 + 1 > epochs)
        epochs = $3 + 1
    count[$1, $3]++
    sum_ratio[$1, $3] += $5
    sum_cos[$1, $3] += $7
}

# What `better` has over `base` in the same seeds, in d; returns how many.
function differences(better, base, d,    s, n) {
    for (s in seeds)
        if ((better SUBSEP s) in last && (base SUBSEP s) in last)
            d[++n] = top1[better, s, last[better, s]] - top1[base, s, last[base, s]]
    return n
}

function verdict(better, base,    d, n, m, half) {
    n = differences(better, base, d)
    if (n < 2)
        return
    m = mean(d, n)
    half = t_quantile(n - 1) * deviation(d, n, m) / sqrt(n)
    printf "%s - %s: %+.2f points, 95 %% interval [%+.2f, %+.2f] from %d seeds: ", better, base, m, m - half, m + half, n
    print (m - half > 0 ? better " is better here" : m + half < 0 ? better " is worse here" : "no difference is shown")
}

END {
    n_methods = split(methods, name, " ")
    printf "\n%-8s %6s %16s %12s %10s\n", "method", "seeds", "top-1, last", "|s| / |t|", "cosine"
    for (i = 1; i <= n_methods; i++) {
        n = 0
        for (s in seeds)
            if ((name[i] SUBSEP s) in last)
                v[++n] = top1[name[i], s, e = last[name[i], s]]
        if (!n)
            continue
        m = mean(v, n)
        printf "%-8s %6d %9.2f ± %4.2f %12.3f %10.3f\n", name[i], n, m, deviation(v, n, m),
               sum_ratio[name[i], e] / count[name[i], e], sum_cos[name[i], e] / count[name[i], e]
    }
    print ""
    verdict("kd++", "kd")
    verdict("dkd++", "dkd")
    verdict("kd", "ce")
    verdict("dkd", "ce")

    print "\nNorm ratio and cosine to the class mean over the epochs, test images, mean over seeds:"
    printf "%-8s", "epoch"
    step = epochs > 8 ? int(epochs / 7) : 1
    for (e = step - 1; e < epochs; e += step)
        printf " %13d", e + 1
    print ""
    for (i = 1; i <= n_methods; i++) {
        if (!count[name[i], epochs - 1])
            continue
        printf "%-8s", name[i]
        for (e = step - 1; e < epochs; e += step)
            printf " %6.3f %6.3f", sum_ratio[name[i], e] / count[name[i], e], sum_cos[name[i], e] / count[name[i], e]
        print ""
    }
}
