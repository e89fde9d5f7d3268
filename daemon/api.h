/* The handlers of the routes, one file for each group of resources. */
#ifndef DAEMON_API_H
#define DAEMON_API_H

#include "daemon/daemon.h"
#include "proto/base/json_split.h"

/* api_jobs.c */
void api_job_submit(struct daemon *d, struct request *r);
void api_job_list(struct daemon *d, struct request *r);
void api_job_get(struct daemon *d, struct request *r);
/* The tag of the job as `text` shows it. */
void api_job_etag(const struct job *j, const char *text, char etag[ETAG_SIZE]);
void api_job_cancel(struct daemon *d, struct request *r);
void api_job_retry(struct daemon *d, struct request *r);
void api_job_hold(struct daemon *d, struct request *r);
void api_job_release(struct daemon *d, struct request *r);
void api_job_preempt(struct daemon *d, struct request *r);
void api_job_checkpoint(struct daemon *d, struct request *r);

/* api_webhooks.c */
void api_webhook_add(struct daemon *d, struct request *r);
void api_webhook_list(struct daemon *d, struct request *r);
void api_webhook_get(struct daemon *d, struct request *r);
void api_webhook_change(struct daemon *d, struct request *r);
void api_webhook_delete(struct daemon *d, struct request *r);
void api_webhook_test(struct daemon *d, struct request *r);
void api_webhook_deliveries(struct daemon *d, struct request *r);
void api_webhook_redeliver(struct daemon *d, struct request *r);

/* api_admin.c */
void api_backup(struct daemon *d, struct request *r);

/* api_edit.c */
/* False, and 412 was answered, where the request has an If-Match that does not name this state of the job. */
bool api_job_matches(struct request *r, const struct job *j);
void api_job_change(struct daemon *d, struct request *r);

/* api_gc.c */
void api_gc_plan(struct daemon *d, struct request *r);
void api_gc_run(struct daemon *d, struct request *r);
void api_job_delete(struct daemon *d, struct request *r);

/* api_batch.c */
void api_batch_begin(struct daemon *d, struct request *r); /* its body may be larger than others */
void api_job_batch(struct daemon *d, struct request *r);

/* api_queue.c */
void api_queue(struct daemon *d, struct request *r);
void api_queue_simulate(struct daemon *d, struct request *r);
void api_queue_pause(struct daemon *d, struct request *r);
void api_queue_resume(struct daemon *d, struct request *r);
/* api_projects.c */
void api_project_list(struct daemon *d, struct request *r);
void api_project_get(struct daemon *d, struct request *r);
void api_project_put(struct daemon *d, struct request *r);
/* api_spec.c */
void api_job_clone(struct daemon *d, struct request *r);
void api_job_spec(struct daemon *d, struct request *r);
void api_job_normalized(struct daemon *d, struct request *r);
void api_job_record(struct daemon *d, struct request *r);

/* api_resize.c */
void api_job_resize(struct daemon *d, struct request *r);

/* api_summary.c */
void api_job_summary(struct daemon *d, struct request *r);

/* api_history.c */
void api_job_attempts(struct daemon *d, struct request *r);
void api_job_events(struct daemon *d, struct request *r);
void api_job_attempt(struct daemon *d, struct request *r);
void api_job_metrics(struct daemon *d, struct request *r);
void api_job_series(struct daemon *d, struct request *r);

/* api_logs.c */
void api_job_logs(struct daemon *d, struct request *r);

/* api_files.c */
void api_job_artifacts(struct daemon *d, struct request *r);
void api_job_artifact(struct daemon *d, struct request *r);

/* api_checkpoints.c */
void api_checkpoint_list(struct daemon *d, struct request *r);
void api_checkpoint_get(struct daemon *d, struct request *r);
void api_checkpoint_change(struct daemon *d, struct request *r);
void api_checkpoint_delete(struct daemon *d, struct request *r);

/* api_uploads.c */
void api_upload_create(struct daemon *d, struct request *r);
void api_upload_get(struct daemon *d, struct request *r);
void api_upload_begin(struct daemon *d, struct request *r); /* of a piece: its headers are there */
void api_upload_append(struct daemon *d, struct request *r);
void api_upload_delete(struct daemon *d, struct request *r);

/* api_models.c */
void api_model_list(struct daemon *d, struct request *r);
void api_model_get(struct daemon *d, struct request *r);
void api_model_version(struct daemon *d, struct request *r);
void api_model_file(struct daemon *d, struct request *r);
void api_model_lineage(struct daemon *d, struct request *r);
void api_model_delete(struct daemon *d, struct request *r);
/* api_register.c */
void api_model_add(struct daemon *d, struct request *r);

/* api_datasets.c */
void api_dataset_add(struct daemon *d, struct request *r);
void api_dataset_list(struct daemon *d, struct request *r);
void api_dataset_get(struct daemon *d, struct request *r);
void api_dataset_delete(struct daemon *d, struct request *r);

/* sse.c */
void api_events(struct daemon *d, struct request *r);

/* api_metrics.c */
void api_metrics(struct daemon *d, struct request *r);

/* api_system.c */
void api_catalog(struct daemon *d, struct request *r);
void api_version(struct daemon *d, struct request *r);
void api_nodes(struct daemon *d, struct request *r);
void api_node_get(struct daemon *d, struct request *r);
void api_node_drain(struct daemon *d, struct request *r);
void api_node_resume(struct daemon *d, struct request *r);
void api_session(struct daemon *d, struct request *r);
void api_session_end(struct daemon *d, struct request *r);
void api_healthz(struct daemon *d, struct request *r);
void api_readyz(struct daemon *d, struct request *r);
void api_problem(struct daemon *d, struct request *r);

/* api_openapi.c */
void api_openapi(struct daemon *d, struct request *r);
void api_openapi_json(struct daemon *d, struct request *r);
void api_job_schema(struct daemon *d, struct request *r);

/* api_audit.c */
void api_audit(struct daemon *d, struct request *r);

/* api_tokens.c */
void api_token_list(struct daemon *d, struct request *r);
void api_token_create(struct daemon *d, struct request *r);
void api_token_get(struct daemon *d, struct request *r);
void api_token_revoke(struct daemon *d, struct request *r);
void api_token_rotate(struct daemon *d, struct request *r);

/* api_web.c */
void api_web(struct daemon *d, struct request *r);
void api_web_vendor(struct daemon *d, struct request *r);

/* The job of an id, active or over, as far as it exists for the caller: what is active is borrowed, else *owned is
 * set (job_destroy). NULL with ERR_NOT_FOUND. */
const struct job *api_find_job(struct daemon *d, const struct caller *who, const char *id,
                               struct job **owned, struct error *err);
/* Answers 404 and returns NULL when there is no job params[0]. */
const struct job *api_job_of(struct daemon *d, struct request *r, struct job **owned);
/* A file of the job's run directory for reading; -1 when there is none. */
int api_open_artifact(const struct daemon *d, const char *id, const char *name);
/* The entries of a folder in there, which may be none; as scandir. */
struct dirent;
int api_scan(int dir, const char *folder, struct dirent ***entries,
             int (*wanted)(const struct dirent *e),
             int (*order)(const struct dirent **a, const struct dirent **b));
/* The job of a spec, which is completed (draft.h). NULL when there are problems, which the request gets for an answer; NULL
 * of NULL. */
struct job *api_take_job(struct daemon *d, struct request *r, struct json *take_written,
                         const struct js_part *sent);
/* Accepts the job, and answers when that is on disk. */
struct idempotency;
void api_accept_job(struct daemon *d, struct request *r, struct job *take_job,
                    const struct idempotency *idempotency);
/* The JSON of the body, which is `what`. Answers 415 or 400 and returns NULL when it is none. */
struct json *api_body(struct request *r, const char *what);
bool api_is_json(const struct request *r);
/* Which of `n` media types the client would rather have (accept.h). Answers 406 and returns -1 when none will do. */
int api_accept(struct request *r, const char *const *types, int n);
/* A parameter that is a whole number within [lo, hi]; `fallback` when missing. Answers 400 and returns
 * false for anything else. */
bool api_number(struct request *r, const char *name, int64_t lo, int64_t hi, int64_t fallback,
                int64_t *out);
/* One that is true or false; false when missing. The same for anything else. */
bool api_flag(struct request *r, const char *name, bool *out);

#endif
