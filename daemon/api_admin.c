/* What whoever runs the daemon asks of it. */
#include <stdlib.h>
#include <sys/stat.h>

#include "daemon/api.h"
#include "daemon/backup.h"
#include "daemon/problem.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct task {
    char *state_dir;
    struct error err;
    bool ok;
};

static void make(void *arg)
{
    struct task *t = arg;

    t->ok = backup_make(t->state_dir, &t->err);
}

static void answer(struct request *r, void *arg)
{
    struct task *t = arg;
    char *path = backup_path(t->state_dir), text[CLOCK_TEXT];
    struct stat st;

    if (t->ok && stat(path, &st) == 0) {
        struct json *j = js_new_object();

        js_set(j, "path", js_new_string(path));
        js_set(j, "size_bytes", js_new_int(st.st_size));
        js_set(j, "made_at", js_new_string(clock_text((int64_t)st.st_mtim.tv_sec * 1000, text)));
        reply_json(r, 200, j);
    } else {
        problem_reply_error(r, &t->err);
    }
    free(path);
    free(t->state_dir);
    free(t);
}

void api_backup(struct daemon *d, struct request *r)
{
    struct task *t = NEW(struct task);

    t->state_dir = str_dup(d->state_dir);
    err_set(&t->err, ERR_IO, "the copy is gone already");
    http_work(r, make, answer, t);
}
