#include "proto/wire/ref.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool ref_check_name(const char *name, struct error *err)
{
    size_t n = strlen(name);
    bool ok = n >= 1 && n < REF_NAME_SIZE && is_plain(name[0]) && is_plain(name[n - 1]);

    for (size_t i = 0; ok && i < n; i++)
        ok = is_plain(name[i]) || strchr("-._", name[i]);
    return ok || err_set(err, ERR_INVALID,
                         "expected a name of 1 to %d lower-case letters, digits, '-', '.' and '_', "
                         "a letter or digit first and last, got \"%.80s\"",
                         REF_NAME_SIZE - 1, name);
}

bool ref_is_model(const char *text)
{
    return str_starts(text, REF_MODEL);
}

bool ref_is_dataset(const char *text)
{
    return str_starts(text, REF_DATASET);
}

static bool take_name(const char *text, size_t n, struct ref *out, struct error *err)
{
    *out = (struct ref){.version = 0};
    if (n >= sizeof(out->name))
        return ref_check_name(text, err) || err_set(err, ERR_INVALID, "the name is too long");
    memcpy(out->name, text, n);
    return ref_check_name(out->name, err);
}

bool ref_parse_model(const char *text, struct ref *out, struct error *err)
{
    const char *name = ref_is_model(text) ? text + strlen(REF_MODEL) : text;
    size_t n = strcspn(name, "@");

    if (!take_name(name, n, out, err))
        return false;
    return !name[n] || str_int(name + n + 1, 1, INT32_MAX, &out->version) ||
           err_set(err, ERR_INVALID, "expected a version after the @, got \"%.40s\"", name + n + 1);
}

bool ref_parse_dataset(const char *text, struct ref *out, struct error *err)
{
    const char *name = ref_is_dataset(text) ? text + strlen(REF_DATASET) : text;

    return take_name(name, strlen(name), out, err);
}

void ref_data_sha256(const char *train, const char *test, char hex[SHA256_HEX])
{
    char *both = str_fmt("%s %s", train, test);

    sha256_of(both, strlen(both), hex);
    free(both);
}
