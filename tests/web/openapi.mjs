/* Answers of a real daemon, held against the schemas of the document that it serves. */
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import { Service, until } from "./service.mjs";

const build = process.env.builddir;
const require = createRequire(`${build}/tests/web/npm/`);
const Ajv = require("ajv/dist/2020").default;
const { parse } = require("yaml");

const service = new Service(build, process.argv[2]);
const failures = [];

async function ask(method, path, { body, bytes, headers = {} } = {}) {
  return fetch(service.address + path, {
    method,
    body: bytes ?? (body && JSON.stringify(body)),
    headers: { Authorization: `Bearer ${service.token}`, ...(body && { "Content-Type": "application/json" }), ...headers },
  });
}

/* The reference that stands in place of an object, or the object. */
function resolve(document, node) {
  return node?.$ref ? node.$ref.slice(2).split("/").reduce((at, key) => at[key], document) : node;
}

/* What the document says of an answer: of its status, or of its class. */
function described(document, method, pattern, status) {
  const responses = document.paths[pattern][method.toLowerCase()].responses;

  return resolve(document, responses[status] ?? responses[`${String(status)[0]}XX`]);
}

class Checker {
  constructor(document) {
    this.document = document;
    this.ajv = new Ajv({ strict: false, allErrors: true });
    this.ajv.addSchema(document, "api");
  }

  schema(node) {
    return this.ajv.compile({ $id: undefined, ...JSON.parse(JSON.stringify(node).replaceAll("\"#/", "\"api#/")) });
  }

  async check(method, pattern, path, options, want) {
    const response = await ask(method, path, options), what = `${method} ${path} -> ${response.status}`;
    const answer = described(this.document, method, pattern, response.status);
    const type = (response.headers.get("content-type") ?? "").split(";")[0], text = await response.text();

    if (response.status !== want)
      failures.push(`${what}, not ${want}: ${text}`);
    if (!answer)
      return void failures.push(`${what}: not described`);
    for (const name of Object.keys(answer.headers ?? {}))
      if (["ETag", "Location", "Log-End", "Accept-Ranges"].includes(name) && method === "GET" && !response.headers.get(name))
        failures.push(`${what}: no ${name}`);
    if (!answer.content)
      return void (text && failures.push(`${what}: a body where none is described`));
    const content = answer.content[type] ?? answer.content["*/*"];
    if (!content)
      return void failures.push(`${what}: type ${type}, described: ${Object.keys(answer.content)}`);
    if (!/[/+]json$/.test(type) || !content.schema)
      return text;
    const validate = this.schema(content.schema), value = JSON.parse(text);
    if (!validate(value))
      failures.push(`${what}: ${this.ajv.errorsText(validate.errors)}: ${text.slice(0, 500)}`);
    return value;
  }
}

const tiny = {
  kind: "train", name: "described", labels: { a: "b" }, data: { source: "procedural:classes=4,train=64,test=32,seed=3" },
  student: { model: "resnet8" }, train: { epochs: 1, batch: 16, lanes: 2, seed: 1 },
};

async function uploads(c, bytes) {
  const uploads = "/api/v1/uploads", one = `${uploads}/{id}`;
  const piece = (from, to) => ({ bytes: bytes.subarray(from, to),
    headers: { "Content-Type": "application/partial-upload", "Upload-Offset": String(from) } });
  const { id } = await c.check("POST", uploads, uploads, { body: { size_bytes: bytes.length } }, 201);
  const own = `${uploads}/${id}`;

  await c.check("POST", uploads, uploads, { body: { size_bytes: 0, x: 1 } }, 422);
  await c.check("PATCH", one, own, piece(0, 10), 204);
  await c.check("PATCH", one, own, piece(0, 10), 409);
  await c.check("PATCH", one, own, { body: {} }, 415);
  await c.check("GET", one, own, {}, 200);
  await c.check("GET", one, `${uploads}/upl_0`, {}, 404);
  const { sha256 } = await c.check("PATCH", one, own, piece(10), 200);
  await c.check("DELETE", one, own, {}, 204);
  const again = { size_bytes: bytes.length, sha256 };
  await c.check("POST", uploads, uploads, { body: again }, 201);
  await c.check("POST", uploads, uploads, { body: again }, 200);
}

async function models(c, job) {
  const models = "/api/v1/models", one = `${models}/{name}/versions/{version}`, own = `${models}/described/versions/1`;

  await c.check("POST", models, models, { body: { name: "described", job, labels: { a: "b" } } }, 201);
  await c.check("POST", models, models, { body: { name: "described", job } }, 200);
  await c.check("POST", models, models, { body: { name: "A", mean: [1] } }, 422);
  await c.check("GET", models, models, {}, 200);
  await c.check("GET", `${models}/{name}`, `${models}/described`, {}, 200);
  await c.check("GET", `${models}/{name}`, `${models}/nobody`, {}, 404);
  await c.check("GET", one, own, {}, 200);
  await c.check("GET", one, `${models}/described/versions/x`, {}, 404);
  await c.check("GET", `${one}/lineage`, `${own}/lineage`, {}, 200);
  await c.check("GET", `${one}/file`, `${own}/file`, {}, 200);
  await c.check("GET", `${one}/file`, `${own}/file`, { headers: { Range: "bytes=0-3" } }, 206);
  await c.check("GET", `${one}/file`, `${own}/file`, { headers: { Range: "bytes=9999999-" } }, 416);
  const named = { ...tiny, student: { weights: "model:described" }, data: { source: "dataset:described" } };
  const { id } = await c.check("POST", "/api/v1/jobs", "/api/v1/jobs", { body: named }, 202);
  await c.check("GET", "/api/v1/jobs/{id}", `/api/v1/jobs/${id}`, {}, 200);
  await c.check("DELETE", one, own, {}, 409);
  await until("the end of the job", async () => (await service.job(id)).finished_at);
  await c.check("DELETE", one, own, {}, 204);
}

async function registry(c, job) {
  const sets = "/api/v1/datasets", one = `${sets}/{name}`, body = { name: "described", source: tiny.data.source };

  await uploads(c, Buffer.from("a small file of no known format"));
  await c.check("POST", sets, sets, { body }, 201);
  await c.check("POST", sets, sets, { body }, 200);
  await c.check("POST", sets, sets, { body: { name: "described", source: "idx:here" } }, 422);
  await c.check("GET", sets, sets, {}, 200);
  await c.check("GET", one, `${sets}/described`, {}, 200);
  await models(c, job);
  await c.check("DELETE", one, `${sets}/described`, {}, 204);
}

async function sweep(c, jobs) {
  const grid = [{ field: "optimizer.lr", values: [0.1, 0.01] }, { field: "labels.a", values: [null, "c"] }];
  const body = { ...tiny, sweep: { grid, seeds: ["1..2"], parallel: 1, baseline: { "optimizer.lr": 0.01 } } };
  const { id } = await c.check("POST", jobs, jobs, { body }, 202), own = `${jobs}/${id}`;
  const summary = () => c.check("GET", `${jobs}/{id}/summary`, `${own}/summary?figure=final.top1`, {}, 200);

  await c.check("POST", jobs, `${jobs}?validate_only=true`, { body }, 200);
  await c.check("POST", jobs, jobs, { body: { ...tiny, sweep: {} } }, 422);
  await until("two points", async () => (await service.job(id)).sweep.done >= 3);
  await summary();
  await c.check("POST", `${jobs}/{id}:cancel`, `${own}:cancel`, {}, 202);
  await until("the end of the sweep", async () => (await service.job(id)).finished_at);
  if (!(await summary()).items.some((item) => item.figures["final.top1"].n))
    failures.push("a summary of nothing");
  await c.check("GET", jobs, `${jobs}?sweep=${id}`, {}, 200);
  await c.check("GET", `${jobs}/{id}/summary`, `${own}/summary?first=4`, {}, 400);
}

async function webhooks(c) {
  const webhooks = "/api/v1/webhooks", one = `${webhooks}/{webhook}`;
  const { id } = await c.check("POST", webhooks, webhooks, { body: { url: "https://receiver.invalid/" } }, 201);
  const own = `${webhooks}/${id}`, list = `${one}/deliveries`;

  await c.check("POST", webhooks, webhooks, { body: { url: "x" } }, 422);
  await c.check("GET", webhooks, webhooks, {}, 200);
  await c.check("GET", one, own, {}, 200);
  await c.check("GET", one, `${webhooks}/wh_0`, {}, 404);
  await c.check("POST", `${one}:test`, `${own}:test`, {}, 202);
  const { items } = await c.check("GET", list, `${own}/deliveries`, {}, 200);
  await c.check("POST", `${list}/{delivery}:redeliver`, `${own}/deliveries/${items[0].id}:redeliver`, {}, 202);
  await c.check("POST", `${list}/{delivery}:redeliver`, `${own}/deliveries/x:redeliver`, {}, 404);
  await c.check("PATCH", one, own, { body: { enabled: false, states: ["failed"] } }, 200);
  await c.check("PATCH", one, own, { body: { states: [] } }, 422);
  await c.check("DELETE", one, own, {}, 204);
}

async function tokens(c) {
  const tokens = "/api/v1/tokens", one = `${tokens}/{id}`;
  const { id } = await c.check("POST", tokens, tokens, { body: { name: "described", scope: "read" } }, 201);
  const own = `${tokens}/${id}`, nobody = `${tokens}/0123456789`;

  await c.check("POST", tokens, tokens, { body: { name: "", scope: "x", expires_in_s: 0 } }, 422);
  await c.check("GET", tokens, tokens, {}, 200);
  await c.check("GET", one, own, {}, 200);
  await c.check("GET", one, nobody, {}, 404);
  await c.check("POST", `${one}:rotate`, `${own}:rotate`, {}, 200);
  await c.check("POST", `${one}:rotate`, `${own}:rotate`, { body: { overlap_s: 60 } }, 200);
  await c.check("DELETE", one, own, {}, 204);
  await c.check("POST", `${one}:rotate`, `${own}:rotate`, {}, 409);
  await c.check("GET", "/api/v1/audit", "/api/v1/audit", {}, 200);
  await c.check("GET", "/api/v1/audit", "/api/v1/audit?page_size=0", {}, 400);
  await c.check("GET", "/api/v1/audit", "/api/v1/audit", { headers: { Accept: "application/x-ndjson" } }, 200);
}

async function run() {
  const document = parse(await (await ask("GET", "/api/v1/openapi.yaml")).text()), c = new Checker(document);
  const jobs = "/api/v1/jobs";
  const { id } = await c.check("POST", jobs, jobs, { body: tiny, headers: { "Idempotency-Key": "\"k\"" } }, 202);
  const one = `${jobs}/{id}`, own = `${jobs}/${id}`, nobody = `${jobs}/job_0000000000000000000000000A`;

  await c.check("POST", jobs, jobs, { body: tiny, headers: { "Idempotency-Key": "\"k\"" } }, 202);
  await c.check("POST", jobs, `${jobs}?validate_only=true`, { body: tiny }, 200);
  await c.check("POST", jobs, jobs, { body: { kind: "train", optimizer: { lr: -1 }, x: 1 } }, 422);
  await until("the end of the job", async () => (await service.job(id)).finished_at);
  await c.check("GET", jobs, jobs, {}, 200);
  await c.check("GET", jobs, `${jobs}?state=x`, {}, 400);
  await c.check("GET", one, own, {}, 200);
  await c.check("GET", one, own, { headers: { "If-None-Match": "*" } }, 304);
  await c.check("GET", one, nobody, {}, 404);
  await c.check("POST", `${one}:cancel`, `${own}:cancel`, {}, 409);
  const { id: held } = await c.check("POST", jobs, jobs, { body: { ...tiny, hold: true, depends_on: [{ job: id }] } }, 202);
  await c.check("POST", jobs, jobs, { body: { ...tiny, depends_on: [{ job: "job_0000000000000000000000000A" }] } }, 422);
  for (const [verb, status] of [["hold", 200], ["release", 202], ["release", 200], ["hold", 202]])
    await c.check("POST", `${one}:${verb}`, `${jobs}/${held}:${verb}`, {}, status);
  await c.check("POST", `${one}:cancel`, `${jobs}/${held}:cancel`, {}, 202);
  await c.check("POST", `${one}:hold`, `${own}:hold`, {}, 409);
  const { id: gone } = await c.check("POST", jobs, jobs, { body: { ...tiny, hold: true } }, 202);
  await c.check("DELETE", one, `${jobs}/${gone}`, {}, 409);
  await c.check("POST", `${one}:cancel`, `${jobs}/${gone}:cancel`, {}, 202);
  for (const [match, status] of [[{}, 428], [{ "If-Match": "\"x\"" }, 412], [{ "If-Match": "*" }, 200]])
    await c.check("PATCH", one, `${jobs}/${gone}`, { body: { name: "x", labels: { a: "b" } }, headers: match }, status);
  await c.check("DELETE", one, `${jobs}/${gone}`, {}, 202);
  await c.check("DELETE", one, nobody, {}, 404);
  await c.check("GET", one, `${jobs}/${gone}`, {}, 410);
  await c.check("POST", `${one}:retry`, `${nobody}:retry`, {}, 404);
  for (const list of ["attempts", "events", "artifacts", "metrics", "metrics/series", "logs", "checkpoints", "spec",
    "spec/normalized", "record"])
    await c.check("GET", `${one}/${list}`, `${own}/${list}`, {}, 200);
  await c.check("GET", `${one}/metrics/series`, `${own}/metrics/series`, { headers: { Accept: "text/csv" } }, 200);
  await c.check("GET", `${one}/logs`, `${own}/logs?grep=epoch&since=2020-01-31T12:00:00Z`, {}, 200);
  await c.check("GET", `${one}/logs`, `${own}/logs?since=x`, {}, 400);
  await c.check("GET", `${one}/logs`, `${own}/logs`, { headers: { Range: "bytes=0-3" } }, 206);
  await c.check("GET", `${one}/logs`, `${own}/logs`, { headers: { Accept: "application/x-ndjson" } }, 200);
  await c.check("GET", `${one}/logs`, `${own}/logs`, { headers: { Accept: "text/event-stream" } }, 406);
  await c.check("GET", `${one}/attempts/{attempt}`, `${own}/attempts/1`, {}, 200);
  await c.check("GET", `${one}/attempts/{attempt}`, `${own}/attempts/9`, {}, 404);
  const { items: [checkpoint] } = await c.check("GET", `${one}/checkpoints`, `${own}/checkpoints`, {}, 200);
  const pinned = [`${one}/checkpoints/{name}`, `${own}/checkpoints/${checkpoint.name}`];
  await c.check("PATCH", ...pinned, { body: { pinned: true } }, 200);
  await c.check("PATCH", ...pinned, { body: { pinned: "x" } }, 422);
  await c.check("DELETE", ...pinned, {}, 409);
  await c.check("PATCH", ...pinned, { body: { pinned: false } }, 200);
  await c.check("GET", ...pinned, {}, 200);
  await c.check("DELETE", ...pinned, {}, 204);
  await c.check("GET", ...pinned, {}, 404);
  for (const verb of ["preempt", "checkpoint"])
    await c.check("POST", `${one}:${verb}`, `${own}:${verb}`, {}, 409);
  const { id: clone } = await c.check("POST", `${one}:clone`, `${own}:clone`, { body: { set: { hold: true } } }, 202);
  await c.check("POST", `${one}:clone`, `${own}:clone`, { body: { set: { kind: "x" } } }, 422);
  await c.check("POST", `${one}:cancel`, `${jobs}/${clone}:cancel`, {}, 202);
  for (const body of [tiny, { ...tiny, hold: true }, { ...tiny, kind: "x" }, { ...tiny, sweep: { seeds: "1..3" } }])
    await c.check("POST", "/api/v1/queue:simulate", "/api/v1/queue:simulate", { body }, 200);
  await c.check("GET", `${one}/logs`, `${own}/logs?rank=99`, {}, 404);
  const curve = `${one}/metrics/series`, few = `${own}/metrics/series?name=lr&name=lr&from=2`;
  const { series } = await c.check("GET", curve, `${few}&max_points=4`, {}, 200);
  const { series: [whole] } = await c.check("GET", curve, few, {}, 200);
  if (series.length !== 1 || whole.points[0][0] < 2 || series[0].points.length !== Math.min(4, whole.points.length))
    failures.push(`four points of a curve: ${JSON.stringify(series)}`);
  await c.check("GET", curve, `${own}/metrics/series?max_points=3`, {}, 400);
  await c.check("GET", curve, `${few}&x=time&agg=raw`, {}, 200);
  await c.check("GET", curve, `${few}&x=hours`, {}, 400);
  const file = `${one}/artifacts/{name}`;
  await c.check("GET", file, `${own}/artifacts/result.json`, {}, 200);
  await c.check("GET", file, `${own}/artifacts/result.json`, { headers: { Range: "bytes=0-3" } }, 206);
  await c.check("GET", file, `${own}/artifacts/result.json`, { headers: { Range: "bytes=999999-" } }, 416);
  await sweep(c, jobs);
  for (const path of ["/api/v1/queue", "/api/v1/catalog", "/api/v1/version", "/api/v1/openapi.yaml", "/api/v1/openapi.json",
    "/openapi.json", "/api/v1/schema/job.json", "/healthz", "/readyz",
    "/metrics", "/"])
    await c.check("GET", path, path, {}, 200);
  for (const path of ["/api/v1/queue:pause", "/api/v1/queue:resume"])
    await c.check("POST", path, path, {}, 200);
  await c.check("POST", "/api/v1/gc:plan", "/api/v1/gc:plan", {}, 200);
  await c.check("POST", "/api/v1/gc:plan", "/api/v1/gc:plan", { body: { retention_days: -1 } }, 422);
  await c.check("POST", "/api/v1/gc:run", "/api/v1/gc:run", {}, 200);
  await c.check("POST", "/api/v1/gc:run", "/api/v1/gc:run", { body: { plan: "gc_0" } }, 404);
  const asJson = await (await ask("GET", "/api/v1/openapi.json")).json();
  if (!isDeepStrictEqual(asJson, document))
    failures.push("the description as JSON says something else");
  const job = new Ajv({ strict: false }).compile(await (await ask("GET", "/api/v1/schema/job.json")).json());
  if (!job(tiny) || job({ ...tiny, x: 1 }) || job({ ...tiny, train: { epochs: "x" } }))
    failures.push("the schema of a job does not tell what is one");
  const node = "/api/v1/nodes/{name}";
  await c.check("GET", node, "/api/v1/nodes/localhost", {}, 200);
  await c.check("GET", node, "/api/v1/nodes/nobody", {}, 404);
  await c.check("POST", `${node}:drain`, "/api/v1/nodes/localhost:drain", {}, 200);
  await c.check("POST", `${node}:resume`, "/api/v1/nodes/localhost:resume", {}, 200);
  await c.check("POST", `${node}:drain`, "/api/v1/nodes/nobody:drain", {}, 404);
  await c.check("GET", "/api/v1/nodes", "/api/v1/nodes", {}, 200);
  const project = "/api/v1/projects/{name}", mine = "/api/v1/projects/mine";
  await c.check("GET", project, mine, {}, 404);
  await c.check("PUT", project, mine, { body: { weight: 2, quota: { slots: 1, queued: 9 } } }, 200);
  await c.check("PUT", project, mine, { body: { weight: 0, quota: { slots: "x" } } }, 422);
  await c.check("PUT", project, "/api/v1/projects/-", { body: {} }, 422);
  await c.check("GET", project, mine, {}, 200);
  await c.check("GET", "/api/v1/projects", "/api/v1/projects", {}, 200);
  await c.check("POST", "/api/v1/session", "/api/v1/session", {}, 204);
  await webhooks(c);
  await tokens(c);
  await registry(c, id);
  for (const code of document.components.schemas.ProblemCode.enum)
    await c.check("GET", "/problems/{code}", `/problems/${code}`, {}, 200);

  /* A checker that has gone blind would find nothing. */
  if (c.schema(document.components.schemas.Job)({ id: 3 }))
    failures.push("a job of nothing passes for one");
}

await service.start();
try {
  await run();
} catch (error) {
  failures.push(error.stack);
}
await service.stop();
for (const failure of failures)
  console.log(`FAIL: ${failure}`);
process.exit(failures.length ? 1 : 0);
