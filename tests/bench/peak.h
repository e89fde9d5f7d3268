/* What the cores can do at most: fused multiplications and additions of floats in registers alone. */
#ifndef TESTS_BENCH_PEAK_H
#define TESTS_BENCH_PEAK_H

/* GFLOP/s of so many threads together over so many seconds of wall time, by the widest instructions that this
 * processor has. */
double peak_gflops(int threads, double seconds);

#endif
