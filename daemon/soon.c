#include "daemon/soon.h"

static void on_idle(uv_idle_t *idle)
{
    struct soon *s = idle->data;

    uv_idle_stop(idle);
    s->fn(s->arg);
}

void soon_init(struct soon *s, uv_loop_t *loop, void (*fn)(void *arg), void *arg)
{
    uv_idle_init(loop, &s->idle);
    s->idle.data = s;
    s->fn = fn;
    s->arg = arg;
}

void soon_call(struct soon *s)
{
    if (!uv_is_closing((uv_handle_t *)&s->idle))
        uv_idle_start(&s->idle, on_idle);
}

void soon_forget(struct soon *s)
{
    uv_idle_stop(&s->idle);
}
