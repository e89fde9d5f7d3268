#include "daemon/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECORD_MAX = 8192,           /* of the kernel: CONSOLE_EXT_LOG_MAX */
    CLOCKS_APART_NS = 1000000000 /* the log's clock, and the one that programs see */
};

bool oom_record_names(const char *record, pid_t pid, int64_t since_ns)
{
    static const char words[] = "Killed process ";
    const char *text = strchr(record, ';'), *at = record;
    int64_t stamp_us;
    char *end;

    for (int field = 0; field < 2 && at; field++)
        at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL;
    if (!text || !at || at > text)
        return false;
    stamp_us = strtoll(at, NULL, 10);
    at = strstr(text, words);
    return at && stamp_us * 1000 >= since_ns - CLOCKS_APART_NS &&
           strtol(at + strlen(words), &end, 10) == pid && *end == ' ';
}

bool oom_ended(pid_t pid, int64_t since_ns)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char record[RECORD_MAX + 1];
    bool found = false;
    ssize_t n;

    if (fd < 0)
        return false;
    /* Each read gives one record. EPIPE: some were overwritten meanwhile; the next read goes on behind them. */
    while (!found && ((n = read(fd, record, RECORD_MAX)) > 0 || (n < 0 && errno == EPIPE))) {
        record[n > 0 ? n : 0] = '\0';
        found = oom_record_names(record, pid, since_ns);
    }
    close(fd);
    return found;
}
