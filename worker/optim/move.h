/* A step is small beside the parameter: rounding their sum to a float moves the parameter by some 1e-8
 * of itself, at random and for good. So what rounding takes away is kept, and given back in the next
 * step. */
#ifndef WORKER_OPTIM_MOVE_H
#define WORKER_OPTIM_MOVE_H

/* p + low is the parameter, which becomes `to`. */
static inline void move(float *p, float *low, double to)
{
    *p = (float)to;
    *low = (float)(to - (double)*p);
}

#endif
