/* What people read: tables, durations, a progress display. Nothing that a server sends can steer the
 * terminal: control characters are replaced on the way. */
#ifndef CLIENT_OUT_H
#define CLIENT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/buf.h"
#include "proto/base/json.h"
#include "proto/base/vec.h"

struct term {
    bool tty;
    bool colour; /* a terminal, and NO_COLOR is not set */
    size_t width;
};

struct term term_of(FILE *f);

/* A table: columns are rows of a table themselves; cells are added from left to right. */
struct out_column {
    const char *title;
    bool right;
    bool state; /* shown in the colour of the job state that it names */
};

struct out_table {
    const struct out_column *columns;
    size_t n_columns;
    VEC(char *) cells;
};

#define OUT_TABLE(array) ((struct out_table){.columns = (array), .n_columns = ARRAY_LEN(array)})

void out_cell(struct out_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Titles and rows, each line ended; no space at the end of a line. */
void out_table_write(const struct out_table *t, const struct term *term, struct buf *out);
void out_table_free(struct out_table *t);
/* A list as a table of its own on standard output: `add` makes a row of each element. */
void out_list(struct out_table take_table, const struct json *items,
              void (*add)(struct out_table *t, const struct json *item), const struct term *term);
/* A file that a download has made, and its size: the path alone, or an object. */
void out_file(bool json, const char *path, int64_t bytes);

/* Texts in a caller's buffer, which is returned. Unknown values (NAN, negative) are "-". */
enum {
    OUT_TEXT = 48
};
const char *out_duration(double seconds, char out[OUT_TEXT]); /* 47s, 3m25s, 1h02m, 2d03h */
const char *out_bytes(int64_t bytes, char out[OUT_TEXT]);
const char *out_real(int digits, double v, char out[OUT_TEXT]);
/* Seconds from an RFC 3339 time in UTC to now; NAN when it is none. */
double out_age(const char *time, int64_t now_ms);

/* "[######....]", `cells` wide inside. */
void out_bar(struct buf *b, double fraction, size_t cells);
/* Adds text with control characters replaced by '?'. */
void out_clean(struct buf *b, const char *text);
/* Adds text in the colour of a job state, where the terminal has colours. */
void out_state(struct buf *b, const struct term *term, const char *state, const char *text);

/* Lines that are drawn over: each call replaces those of the one before. Terminals only. */
struct out_live {
    FILE *to;
    struct term term;
    size_t lines;
};
void out_live_show(struct out_live *l, const char *const *lines, size_t n);

/* One JSON document on standard output: indented, or (for streams) one line. */
void out_json(const struct json *j);
void out_json_line(const struct json *j);
void out_print(const struct buf *b);

#endif
