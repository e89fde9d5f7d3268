/* The description of the API: as it is written, as JSON, and the schema of a job alone. */
#include <string.h>

#include "daemon/api.h"

static const char json_type[] = "application/json; charset=utf-8";

void api_openapi(struct daemon *d, struct request *r)
{
    static const char text[] =
#include "daemon/openapi.inc"
        ;

    (void)d;
    reply_bytes(r, 200, "application/yaml; charset=utf-8", text, strlen(text));
}

void api_openapi_json(struct daemon *d, struct request *r)
{
    static const char text[] =
#include "daemon/openapi_json.inc"
        ;

    (void)d;
    reply_bytes(r, 200, json_type, text, strlen(text));
}

void api_job_schema(struct daemon *d, struct request *r)
{
    static const char text[] =
#include "daemon/job_schema.inc"
        ;

    (void)d;
    reply_bytes(r, 200, "application/schema+json", text, strlen(text));
}
