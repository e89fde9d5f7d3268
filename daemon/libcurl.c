#include "daemon/libcurl.h"

#include <dlfcn.h>
#include <string.h>

#include "proto/base/mem.h"

/* Of its two builds either will do: they differ in the library for TLS. */
static const char *const files[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};

static void *open_library(void)
{
    void *library = NULL;

    for (size_t i = 0; !library && i < ARRAY_LEN(files); i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* C has no cast from an object's address to a function's. */
static bool find(void *library, const char *name, void *function, size_t size)
{
    void *at = dlsym(library, name);

    memcpy(function, &at, size);
    return at;
}

const struct libcurl *libcurl_load(struct error *err)
{
    static struct libcurl curl;
    static void *library;
    bool whole = true;

    if (library)
        return &curl;
    library = open_library();
    if (!library) {
        err_set(err, ERR_UNSUPPORTED, "webhooks need libcurl: %s", dlerror());
        return NULL;
    }
#define FIND(name) whole = whole && find(library, "curl_" #name, &curl.name, sizeof(curl.name));
    LIBCURL_FUNCTIONS(FIND)
#undef FIND
    if (whole && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        return &curl;
    dlclose(library);
    library = NULL;
    err_set(err, ERR_UNSUPPORTED, "webhooks need a newer libcurl");
    return NULL;
}
