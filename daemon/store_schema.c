/* The tables of both files. A script that was released stays as it is: files remember by their number how far
 * they have come. */
#include "daemon/hosts.h"
#include "daemon/store_parts.h"

const char *const store_state_schema[] = {
    "CREATE TABLE job("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, kind TEXT NOT NULL, spec TEXT NOT NULL,"
    "  max_attempts INTEGER NOT NULL, ranks INTEGER NOT NULL, threads INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  state TEXT NOT NULL, reason_code TEXT NOT NULL DEFAULT '',"
    "  reason_message TEXT NOT NULL DEFAULT '', cancel_requested INTEGER NOT NULL DEFAULT 0,"
    "  attempt INTEGER NOT NULL DEFAULT 0, attempt_base INTEGER NOT NULL DEFAULT 0,"
    "  started_ms INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER NOT NULL DEFAULT 0,"
    "  step INTEGER NOT NULL DEFAULT 0, total_steps INTEGER NOT NULL DEFAULT 0,"
    "  epoch INTEGER NOT NULL DEFAULT 0, result TEXT) STRICT;"
    "CREATE INDEX job_state ON job(state, seq);"
    "CREATE TABLE attempt("
    "  job TEXT NOT NULL REFERENCES job(id), number INTEGER NOT NULL,"
    "  started_ms INTEGER NOT NULL, token_sha256 TEXT NOT NULL,"
    "  ended_ms INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0,"
    "  signal INTEGER NOT NULL DEFAULT 0, stopped INTEGER NOT NULL DEFAULT 0,"
    "  lost INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',"
    "  PRIMARY KEY(job, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event("
    "  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, job TEXT NOT NULL REFERENCES job(id),"
    "  state TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL) STRICT;"
    "CREATE INDEX event_job ON event(job, id);"
    "CREATE TABLE session(sha256 TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
    "INSERT INTO counter VALUES('event', 1)",
    "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job SET priority = coalesce(json_extract(spec, '$.priority'), 0);"
    "CREATE TABLE reply("
    "  key TEXT PRIMARY KEY, body_sha256 TEXT NOT NULL, job TEXT NOT NULL REFERENCES job(id),"
    "  status INTEGER NOT NULL, text TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX reply_age ON reply(created_ms);"
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    "ALTER TABLE attempt ADD COLUMN class TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN attempt_ranks INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE job ADD COLUMN resize_requested INTEGER NOT NULL DEFAULT 0;"
    "UPDATE job SET attempt_ranks=ranks",
    "ALTER TABLE attempt ADD COLUMN placement TEXT NOT NULL DEFAULT '';"
    "UPDATE attempt SET placement = '" HOST_ALONE ":' || (SELECT ranks FROM job WHERE id = job)",
    "ALTER TABLE job ADD COLUMN lost_hosts INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE upload("
    "  id TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL,"
    "  complete INTEGER NOT NULL, created_ms INTEGER NOT NULL, touched_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE model("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, sha256 TEXT NOT NULL,"
    "  tensors_sha256 TEXT NOT NULL, size INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
    "  job TEXT REFERENCES job(id), about TEXT NOT NULL, UNIQUE(name, version)) STRICT;"
    "CREATE INDEX model_sha256 ON model(sha256);"
    "CREATE INDEX model_tensors ON model(tensors_sha256);"
    "CREATE TABLE model_name(name TEXT PRIMARY KEY, versions INTEGER NOT NULL) STRICT;"
    "CREATE TABLE model_parent("
    "  child INTEGER NOT NULL REFERENCES model(seq) ON DELETE CASCADE, role TEXT NOT NULL,"
    "  parent INTEGER NOT NULL REFERENCES model(seq),"
    "  PRIMARY KEY(child, role)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX model_child ON model_parent(parent);"
    "CREATE TABLE dataset("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, source TEXT NOT NULL,"
    "  sha256 TEXT NOT NULL, created_ms INTEGER NOT NULL, labels TEXT NOT NULL,"
    "  manifest TEXT NOT NULL) STRICT;"
    "CREATE TABLE job_use("
    "  job TEXT NOT NULL REFERENCES job(id), field TEXT NOT NULL, name TEXT NOT NULL,"
    "  version INTEGER NOT NULL, sha256 TEXT NOT NULL,"
    "  PRIMARY KEY(job, field)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_use_name ON job_use(name)",
    "ALTER TABLE job ADD COLUMN sweep_total INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_parallel INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep TEXT REFERENCES job(id);"
    "ALTER TABLE job ADD COLUMN sweep_index INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_round INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN sweep_place TEXT;"
    "CREATE UNIQUE INDEX job_of_sweep ON job(sweep, sweep_index) WHERE sweep IS NOT NULL;"
    "CREATE INDEX job_sweep ON job(sweep);"
    "CREATE INDEX job_sweep_state ON job(sweep, state)",
    "ALTER TABLE job DROP COLUMN max_attempts;"
    "ALTER TABLE job DROP COLUMN attempt_base;"
    "ALTER TABLE job DROP COLUMN lost_hosts;"
    "ALTER TABLE job ADD COLUMN failures TEXT NOT NULL DEFAULT '{}';"
    "ALTER TABLE job ADD COLUMN not_before_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN limit_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN hold_requested INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN yield_requested INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN needs INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN project TEXT NOT NULL DEFAULT 'default';"
    "ALTER TABLE job ADD COLUMN preempt INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN preemptible INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN min_runtime_ms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN yield_for TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE project("
    "  name TEXT PRIMARY KEY, weight REAL NOT NULL, quota_slots INTEGER NOT NULL,"
    "  quota_queued INTEGER NOT NULL, used REAL NOT NULL, used_ms INTEGER NOT NULL) STRICT",
};

const char *const store_metrics_schema[] = {
    "CREATE TABLE series("
    "  id INTEGER PRIMARY KEY, job TEXT NOT NULL, name TEXT NOT NULL, split TEXT NOT NULL,"
    "  UNIQUE(job, name, split)) STRICT;"
    "CREATE TABLE point("
    "  series INTEGER NOT NULL, step INTEGER NOT NULL, value REAL,"
    "  PRIMARY KEY(series, step)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE spool(job TEXT PRIMARY KEY, offset INTEGER NOT NULL) STRICT, WITHOUT ROWID",
};

const size_t n_store_state_schema = ARRAY_LEN(store_state_schema);
const size_t n_store_metrics_schema = ARRAY_LEN(store_metrics_schema);
