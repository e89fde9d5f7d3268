/* Requests that nobody would send: for every operation of the description, with parts of them real, parts
 * made after their schemas, and parts of anything. What must hold: no status of 500 or above but 503 and 507,
 * no status that is not described, every answer as its schema says, and a daemon that goes on.
 * usage: api_fuzz.mjs FOLDER [REQUESTS [SEED]] */
import { request as send, Agent } from "node:http";
import { createRequire } from "node:module";
import { Service } from "./service.mjs";

const [folder, requests = "800", given] = process.argv.slice(2);
const build = process.env.builddir;
const require = createRequire(`${build}/tests/web/npm/`);
const Ajv = require("ajv/dist/2020").default;
const { parse } = require("yaml");

const seed = given === undefined ? Date.now() >>> 0 : Number(given);
const service = new Service(build, folder), failures = [], seen = new Map();
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const PATIENCE_MS = 60000, STREAM_MS = 20, FAILURES_MAX = 20;
const METHODS = ["get", "put", "post", "patch", "delete", "head"];

/* -- Chance: mulberry32, so that a seed tells the whole run ------------------------------------------------ */

let chance_state = seed;
function chance() {
  chance_state = (chance_state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(chance_state ^ (chance_state >>> 15), 1 | chance_state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(chance() * n);
const pick = (list) => list[below(list.length)];
const often = (share) => chance() < share;

/* -- Values: anything, and what a schema asks for ---------------------------------------------------------- */

const words = ["", " ", ".", "..", "../../etc/passwd", "%2e%2e%2f", "a/b", "\0", "\r\nX-Injected: 1", "-", "--help", "null", "true",
  "0", "-1", "1e309", "18446744073709551616", "9223372036854775807", "NaN", "'; DROP TABLE job; --", "{{7*7}}", "${HOME}", "\u202e\u0000\ud83d\ude00",
  "\ud800", "ÿ", "a".repeat(300), "x".repeat(5000), "job_01", "job_0000000000000000000000000A", "sha256:", "model:", "dataset:x@y", "file:///etc/passwd",
  "http://127.0.0.1:1/", "http://[::1]/", "bytes=0-", "bytes=5-1", "bytes=-9999999999999999999", "\"x\"", "W/\"x\"", "*", "\"\""];
const numbers = [0, -0, 1, -1, 2, 0.5, -0.5, 255, 256, 1e-300, 1e300, 2 ** 31, -(2 ** 31), 2 ** 53, 2 ** 63, 2 ** 64, -(2 ** 63)];

function anything(depth = 0) {
  switch (below(depth > 3 ? 4 : 7)) {
    case 0: return null;
    case 1: return often(0.5);
    case 2: return pick(numbers);
    case 3: case 4: return pick(words);
    case 5: return Array.from({ length: below(4) }, () => anything(depth + 1));
    default: return Object.fromEntries(Array.from({ length: below(4) }, () => [pick(words), anything(depth + 1)]));
  }
}

const resolve = (document, node) =>
  node?.$ref ? resolve(document, node.$ref.slice(2).split("/").reduce((at, key) => at[key], document)) : node;

/* Something that the schema might allow; a part of it now and then is anything. */
function made(document, node, depth = 0) {
  const schema = resolve(document, node) ?? {};

  if (often(0.06))
    return anything();
  if (schema.const !== undefined)
    return schema.const;
  if (schema.enum)
    return pick(schema.enum);
  if (schema.examples || schema.example !== undefined)
    return schema.example ?? pick(schema.examples);
  for (const choice of ["oneOf", "anyOf"])
    if (schema[choice])
      return made(document, pick(schema[choice]), depth);
  const parts = (schema.allOf ?? []).map((part) => made(document, part, depth));
  const type = Array.isArray(schema.type) ? pick(schema.type) : schema.type ?? (schema.properties ? "object" : "string");

  switch (type) {
    case "null": return null;
    case "boolean": return often(0.5);
    case "integer": return often(0.7) ? (schema.minimum ?? 0) + below(4) : pick(numbers);
    case "number": return often(0.7) ? (schema.minimum ?? 0) + chance() : pick(numbers);
    case "array": return Array.from({ length: depth > 5 ? 0 : below(4) }, () => made(document, schema.items, depth + 1));
    case "object": {
      const value = Object.assign({}, ...parts.filter((part) => part && typeof part === "object"));
      for (const [name, property] of Object.entries(schema.properties ?? {}))
        if ((schema.required ?? []).includes(name) ? !often(0.03) : depth < 5 && often(0.3))
          value[name] = made(document, property, depth + 1);
      if (often(0.04))
        value[pick(words)] = anything();
      return value;
    }
    default: return often(0.5) ? pick(words) : `a${below(10)}`;
  }
}

/* -- What exists, so that requests get beyond 404 ---------------------------------------------------------- */

const known = new Map(); /* name of a parameter -> values */
function learn(name, value) {
  const values = known.get(name) ?? known.set(name, []).get(name);

  if (value !== undefined && values.length < 50)
    values.push(String(value));
}

const tiny = { kind: "train", name: "fuzzed", data: { source: "procedural:classes=4,train=64,test=32,seed=3" }, student: { model: "resnet8" },
  train: { epochs: 1, batch: 16, lanes: 2 } };
const bodies = { submitJob: tiny, submitJobs: { jobs: [tiny, tiny] } };

async function prepare() {
  const post = async (path, body) => JSON.parse((await ask("POST", path, {}, JSON.stringify(body))).text);

  await ask("POST", "/api/v1/queue:pause", {}); /* training is not what is tried here */
  for (let i = 0; i < 4; i++)
    learn("id", (await post("/api/v1/jobs", tiny)).id);
  learn("id", (await post("/api/v1/jobs", { ...tiny, sweep: { seeds: ["1..3"] } })).id);
  await ask("POST", `/api/v1/jobs/${known.get("id")[0]}:cancel`, {});
  const upload = await post("/api/v1/uploads", { size_bytes: 10 });
  learn("upload", upload.id);
  learn("name", (await post("/api/v1/datasets", { name: "fuzzed", source: tiny.data.source })).name);
  learn("webhook", (await post("/api/v1/webhooks", { url: "https://receiver.invalid/" })).id);
  learn("token", (await post("/api/v1/tokens", { name: "fuzzed", scope: "read" })).id);
  await ask("PUT", "/api/v1/projects/fuzzed", {}, "{}");
  for (const list of ["id", "upload", "webhook", "token", "name"])
    if (!known.get(list)?.[0])
      throw new Error(`nothing to try requests on: no ${list}`);
  for (const name of ["rank", "attempt", "version", "n"])
    ["0", "1"].forEach((value) => learn(name, value));
}

/* The pool of a parameter: {id} is of what its path names. */
function pool(name, path) {
  const of = { uploads: "upload", webhooks: "webhook", tokens: "token" }[path.split("/")[3]];

  return known.get(name === "id" && of ? of : name) ?? [];
}

/* -- A request --------------------------------------------------------------------------------------------- */

function ask(method, path, headers, body) {
  const [host, port] = new URL(service.address).host.split(":");

  return new Promise((done, failed) => {
    const request = send({ agent, host, port, method, path, timeout: PATIENCE_MS, headers: {
      Authorization: `Bearer ${service.token}`,
      /* Node tells no length of a body that a GET or a DELETE has, which then reads as the next request. */
      ...(body !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }), ...headers } });
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.on("error", failed);
    request.on("response", (response) => {
      const pieces = [], answer = () => done({ status: response.statusCode, headers: response.headers, text: Buffer.concat(pieces).toString() });

      response.on("data", (piece) => pieces.push(piece));
      response.on("end", answer);
      response.on("error", failed);
      if ((response.headers["content-type"] ?? "").startsWith("text/event-stream"))
        setTimeout(() => { response.removeAllListeners("error"); response.on("error", () => {}); request.destroy(); answer(); }, STREAM_MS);
    });
    if (body !== undefined)
      request.write(body);
    request.end();
  });
}

const header_safe = (value) => String(value).replace(/[^\x20-\x7e]/g, "?");
const value_of = (document, parameter, path) => {
  const values = pool(parameter.name, path);

  return values.length && often(0.7) ? pick(values) : often(0.6) ? String(made(document, parameter.schema)) : pick(words);
};

function spoil(text) {
  switch (below(8)) {
    case 0: return text.slice(0, below(text.length + 1));
    case 1: return "[".repeat(200) + text;
    case 2: return text + text;
    case 3: return text.replace(/:(\d+)/, ":NaN");
    case 4: return text.replace("{", '{"kind":"train","kind":"eval",');
    case 5: return Buffer.concat([Buffer.from(text.slice(0, below(text.length + 1))), Buffer.from([0xff, 0xfe, 0xc0, 0x80])]);
    case 6: return " ".repeat(70000) + text;
    default: return Buffer.from(Array.from({ length: below(300) }, () => below(256)));
  }
}

function make(document, { method, path, operation, shared }) {
  const headers = {}, query = [], parameters = [...shared, ...(operation.parameters ?? [])].map((p) => resolve(document, p));
  let target = path, body;

  for (const parameter of parameters) {
    const value = value_of(document, parameter, path);
    if (parameter.in === "path")
      target = target.replace(`{${parameter.name}}`, () => encodeURIComponent(value.toWellFormed?.() ?? value));
    else if (often(0.4) && parameter.in === "query")
      query.push(`${parameter.name}=${encodeURIComponent(value.toWellFormed?.() ?? value)}`);
    else if (often(0.4) && parameter.in === "header")
      headers[parameter.name] = header_safe(value);
  }
  if (often(0.05))
    query.push(`${encodeURIComponent(pick(words).toWellFormed())}=${below(10)}`);
  for (const name of ["If-None-Match", "If-Match", "Range", "Accept", "Last-Event-ID", "Content-Type", "Origin"])
    if (often(0.04))
      headers[name] = header_safe(pick(words));
  const wanted = resolve(document, operation.requestBody)?.content;
  if (wanted && !often(0.05)) {
    const [type, content] = pick(Object.entries(wanted));
    headers["Content-Type"] ??= type;
    const base = content.example ?? bodies[operation.operationId];
    const value = base && often(0.4) ? { ...base, ...(often(0.5) && made(document, content.schema)) } : made(document, content.schema);
    body = /json$/.test(type) ? JSON.stringify(value) : "anything";
    if (often(0.1))
      body = spoil(body);
  } else if (often(0.03))
    body = spoil(JSON.stringify(anything()));
  return { method: method.toUpperCase(), target: target + (query.length ? `?${query.join("&")}` : ""), headers, body };
}

/* -- Its answer -------------------------------------------------------------------------------------------- */

class Judge {
  constructor(document) {
    this.document = document;
    this.ajv = new Ajv({ strict: false, validateFormats: false });
    this.ajv.addSchema(document, "api");
    this.compiled = new Map();
  }

  schema(node) {
    const text = JSON.stringify(node).replaceAll("\"#/", "\"api#/");

    if (!this.compiled.has(text))
      this.compiled.set(text, this.ajv.compile(JSON.parse(text)));
    return this.compiled.get(text);
  }

  /* What is wrong with it, or undefined. */
  fault(operation, { status, headers, text }, method) {
    const described = resolve(this.document, operation.responses[status] ?? operation.responses[`${String(status)[0]}XX`]);
    const type = (headers["content-type"] ?? "").split(";")[0];

    if (status >= 500 && status !== 503 && status !== 507)
      return "the daemon's own fault";
    if (!described)
      return "a status that is not described";
    if (status >= 400 && method !== "HEAD" && type !== "application/problem+json")
      return `a refusal of type "${type}"`;
    if (!/json$/.test(type) || method === "HEAD" || !text)
      return undefined;
    const content = described.content?.[type] ?? described.content?.["*/*"];
    if (!content)
      return `type ${type} is not described`;
    const validate = content.schema && this.schema(content.schema);
    return validate && !validate(JSON.parse(text)) ? this.ajv.errorsText(validate.errors) : undefined;
  }
}

async function tryOne(judge, which) {
  const { method, target, headers, body } = make(judge.document, which);
  const line = () => `${method} ${target} ${JSON.stringify(headers)} ${String(body ?? "").slice(0, 2000)}`;
  let answer;

  try {
    answer = await ask(method, target, headers, body);
    if (answer.status === 201 || answer.status === 202)
      learn("id", /"id":"(job_[0-9A-Z]+)"/.exec(answer.text)?.[1]);
  } catch (error) {
    return void failures.push(`${line()}: ${error.message}`);
  }
  const key = `${which.operation.operationId} ${answer.status}`;
  seen.set(key, (seen.get(key) ?? 0) + 1);
  const fault = judge.fault(which.operation, answer, method);
  if (fault)
    failures.push(`${line()} -> ${answer.status}: ${fault}: ${answer.text.slice(0, 400)}`);
}

function operations(document) {
  return Object.entries(document.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) =>
    ({ method, path, operation: item[method], shared: item.parameters ?? [] })))
    .filter(({ operation }) => operation.operationId !== "resumeQueue");
}

async function run() {
  const document = parse((await ask("GET", "/api/v1/openapi.yaml", {})).text), judge = new Judge(document), all = operations(document);

  await prepare();
  for (let i = 0; i < Number(requests) && failures.length < FAILURES_MAX; i++)
    await tryOne(judge, i < all.length ? all[i] : pick(all));
  /* A judge that has gone blind would find nothing. */
  const list = all.find(({ operation }) => operation.operationId === "listJobs").operation;
  const json = { "content-type": "application/json" };
  for (const answer of [{ status: 500, headers: {}, text: "" }, { status: 301, headers: {}, text: "" }, { status: 404, headers: json, text: "{}" },
    { status: 200, headers: json, text: '{"items":3}' }])
    if (!judge.fault(list, answer, "GET"))
      failures.push(`${answer.status} ${answer.text} passes for an answer`);
  if ((await ask("GET", "/healthz", {})).status !== 200)
    failures.push("the daemon does not answer any more");
  /* One that is refused everywhere tries nothing. */
  for (const { operation } of all)
    if (![...seen.keys()].some((key) => key.startsWith(`${operation.operationId} `)))
      failures.push(`no request of ${operation.operationId} was answered`);
  for (const status of [200, 202, 400, 404, 422])
    if (![...seen.keys()].some((key) => key.endsWith(` ${status}`)))
      failures.push(`no request was answered with ${status}`);
}

console.log(`seed ${seed}, ${requests} requests`);
await service.start();
try {
  await run();
} catch (error) {
  failures.push(error.stack);
}
agent.destroy();
await service.stop();
for (const [key, n] of [...seen].sort())
  console.log(`${String(n).padStart(6)} ${key}`);
for (const failure of failures)
  console.log(`FAIL: ${failure}`);
process.exit(failures.length ? 1 : 0);
