#define _GNU_SOURCE
#include "daemon/worker_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

enum {
    OUTPUT_MAX = 1 << 20
};

struct worker_calls {
    pthread_mutex_t lock;
    VEC(pid_t) pids; /* not waited for yet: the numbers are theirs */
    bool stopped;
};

struct worker_calls *worker_calls_new(void)
{
    struct worker_calls *c = NEW(struct worker_calls);

    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void worker_calls_free(struct worker_calls *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    vec_free(&c->pids);
    free(c);
}

void worker_calls_stop(struct worker_calls *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopped = true;
    for (size_t i = 0; i < c->pids.n; i++)
        kill(c->pids.at[i], SIGKILL);
    pthread_mutex_unlock(&c->lock);
}

static void forget(struct worker_calls *c, pid_t pid)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->pids.n; i++)
        if (c->pids.at[i] == pid)
            c->pids.at[i] = c->pids.at[--c->pids.n];
    pthread_mutex_unlock(&c->lock);
}

/* Its two streams end in memory: nobody has to read while it runs. */
struct run {
    int out, said;
    int status; /* as waitpid gives it */
};

static char *text_of(int fd, size_t *len)
{
    struct buf b = buf_new(OUTPUT_MAX);
    char block[4096];
    ssize_t n;
    off_t at = 0;

    while ((n = pread(fd, block, sizeof(block), at)) > 0 && buf_add(&b, block, (size_t)n))
        at += n;
    *len = b.len;
    return buf_take(&b);
}

static bool start(struct run *r, char *const *argv, char *const *env, pid_t *pid, struct error *err)
{
    posix_spawn_file_actions_t actions;
    int code;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, r->out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, r->said, STDERR_FILENO);
    code = posix_spawn(pid, argv[0], &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    return code == 0 || err_set(err, ERR_IO, "starting %s: %s", argv[0], strerror(code));
}

static bool start_known(struct run *r, struct worker_calls *c, char *const *argv, char *const *env,
                        pid_t *pid, struct error *err)
{
    bool ok;

    if (!c)
        return start(r, argv, env, pid, err);
    pthread_mutex_lock(&c->lock);
    ok = c->stopped ? err_set(err, ERR_STOPPED, "the daemon is about to end")
                    : start(r, argv, env, pid, err);
    if (ok)
        vec_push(&c->pids, *pid);
    pthread_mutex_unlock(&c->lock);
    return ok;
}

static bool run(struct run *r, struct worker_calls *c, char *const *argv, char *const *env,
                struct error *err)
{
    siginfo_t info;
    pid_t pid;

    if (r->out < 0 || r->said < 0)
        return err_set(err, ERR_IO, "memfd: %s", strerror(errno));
    if (!start_known(r, c, argv, env, &pid, err))
        return false;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    if (c)
        forget(c, pid);
    while (waitpid(pid, &r->status, 0) < 0)
        if (errno != EINTR)
            return err_set(err, ERR_IO, "waitpid: %s", strerror(errno));
    return true;
}

/* "distill-worker manifest: /data: no such folder\n" is what it has to say; the first line of it. */
static bool failed(const struct run *r, const char *command, struct error *err)
{
    int status = WIFEXITED(r->status) ? WEXITSTATUS(r->status) : -1;
    char *prefix = str_fmt("distill-worker %s: ", command);
    size_t len;
    char *text = text_of(r->said, &len), *at = text;
    enum err_code code = status == 2 ? ERR_INVALID : status == 65 ? ERR_DATA : ERR_FAILED;

    if (str_starts(at, prefix))
        at += strlen(prefix);
    at[strcspn(at, "\n")] = '\0';
    if (*at)
        err_set(err, code, "%s", at);
    else
        err_set(err, code, "`distill-worker %s` ended with wait status %d", command, r->status);
    free(text);
    free(prefix);
    return false;
}

static struct json *output(const struct run *r, const char *command, struct error *err)
{
    bool fits = lseek(r->out, 0, SEEK_END) <= OUTPUT_MAX;
    size_t len;
    char *text = text_of(r->out, &len);
    struct json *j = fits ? js_parse(text, len, err) : NULL;

    if (!fits)
        err_set(err, ERR_TOO_LARGE, "it is more than %d bytes", OUTPUT_MAX);
    if (!j) {
        err_wrap(err, "what `distill-worker %s` prints", command);
        err->code = ERR_FAILED;
    }
    free(text);
    return j;
}

/* Our environment, with what the worker is told in place of what we are; NULL at the end. The first *owned entries are
 * to be released. */
static char **environment(const struct worker_tool *t, size_t *owned)
{
    const struct {
        const char *name, *value;
    } told[] = {{"DISTILLD_CACHE=", t->cache}, {"DISTILLD_ROOTS=", t->roots}};
    VEC(char *) list = {0};

    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (told[i].value)
            vec_push(&list, str_fmt("%s%s", told[i].name, told[i].value));
    *owned = list.n;
    for (char **v = environ; *v; v++) {
        bool ours = true;

        for (size_t i = 0; i < ARRAY_LEN(told); i++)
            ours = ours && !(told[i].value && str_starts(*v, told[i].name));
        if (ours)
            vec_push(&list, *v);
    }
    vec_push(&list, NULL);
    return list.at;
}

struct json *worker_ask(const struct worker_tool *t, const char *command, const char *const *words,
                        struct error *err)
{
    VEC(char *) argv = {0};
    struct run r = {memfd_create("out", MFD_CLOEXEC), memfd_create("said", MFD_CLOEXEC), 0};
    size_t owned;
    char **env = environment(t, &owned);
    struct json *j = NULL;

    vec_push(&argv, str_dup(t->program));
    vec_push(&argv, str_dup(command));
    for (; words && *words; words++)
        vec_push(&argv, str_dup(*words));
    vec_push(&argv, NULL);
    if (run(&r, t->calls, argv.at, env, err) && (r.status == 0 || failed(&r, command, err)))
        j = output(&r, command, err);
    for (size_t i = 0; i < argv.n; i++)
        free(argv.at[i]);
    vec_free(&argv);
    while (owned--)
        free(env[owned]);
    free(env);
    close(r.out);
    close(r.said);
    return j;
}

/* What tells the program from any other: its file, and this daemon, which may ask for more. NULL for a script, or for
 * what is not there. free() */
static char *fingerprint(const char *worker)
{
    struct file_stamp st;
    enum file_kind kind;
    char magic[2] = "";
    int fd = open(worker, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, magic, sizeof(magic)) : -1;

    if (fd >= 0)
        close(fd);
    if (n != sizeof(magic) || memcmp(magic, "#!", sizeof(magic)) == 0 ||
        !file_look(worker, &st, &kind, NULL))
        return NULL;
    return str_fmt(PACKAGE_VERSION " %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, worker,
                   st.size, st.inode, st.modified_ns, st.changed_ns);
}

static bool take_kept(const char *kept, const char *print, struct catalog *out)
{
    struct json *j = js_read_file(kept, OUTPUT_MAX, NULL);
    bool ok = j && strcmp(js_string(js_get(j, "of"), ""), print) == 0 &&
              catalog_from_json(out, js_get(j, "catalog"), NULL);

    js_free(j);
    return ok;
}

/* Only saves time: that it cannot be kept is no failure. */
static void keep(const char *kept, const char *print, const struct json *said)
{
    struct json *j = js_new_object();
    char *text;

    js_set(j, "of", js_new_string(print));
    js_set(j, "catalog", js_copy(said));
    text = js_text(j, JS_COMPACT);
    file_publish(kept, text, strlen(text), 0600, NULL);
    free(text);
    js_free(j);
}

bool worker_catalog_kept(const char *worker, const char *kept, struct catalog *out)
{
    char *print = fingerprint(worker);
    bool ok = print && take_kept(kept, print, out);

    free(print);
    return ok;
}

bool worker_catalog_ask(const char *worker, const char *kept, struct worker_calls *calls,
                        struct catalog *out, struct error *err)
{
    const struct worker_tool t = {.program = worker, .calls = calls};
    char *print = fingerprint(worker);
    struct json *j = worker_ask(&t, "catalog", NULL, err);
    bool ok = j && catalog_from_json(out, j, err);

    if (ok && print)
        keep(kept, print, j);
    js_free(j);
    free(print);
    return ok || err_wrap(err, "asking %s what it can do", worker);
}
