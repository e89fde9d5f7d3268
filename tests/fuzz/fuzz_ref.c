/* Names of the registry: what is taken for one fits its field, has the form that is promised, and reads the
 * same again when it is written out. */
#include <inttypes.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/ref.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = NEW_ARRAY(char, size + 1), *again;
    struct ref ref, same;
    struct error err;

    memcpy(text, data, size);
    if (ref_parse_model(text, &ref, &err)) {
        PROMISE(ref_check_name(ref.name, NULL) && ref.version >= 0 && !strpbrk(ref.name, "/@:"));
        again = ref.version ? str_fmt(REF_MODEL "%s@%" PRId64, ref.name, ref.version)
                            : str_fmt(REF_MODEL "%s", ref.name);
        PROMISE(ref_parse_model(again, &same, NULL) && strcmp(same.name, ref.name) == 0 &&
                same.version == ref.version);
        free(again);
    } else {
        PROMISE(err.code == ERR_INVALID && err.msg[0]);
    }
    if (ref_parse_dataset(text, &ref, NULL))
        PROMISE(ref_check_name(ref.name, NULL) && ref.version == 0);
    free(text);
    return 0;
}
