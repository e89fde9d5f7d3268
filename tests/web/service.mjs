/* The distilld of a test: started in a folder of its own, killed, started again, and stopped without
 * leaving a job behind. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
export const PATIENCE_MS = 60000; /* a loaded machine is slow, not wrong */

/* Waits until the question has a true answer, and returns it. */
export async function until(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;

  for (;;) {
    const answer = await ask();

    if (answer)
      return answer;
    if (Date.now() > deadline)
      throw new Error(`in vain waited for: ${what}`);
    await sleep(50);
  }
}

function isRank(pid, id) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0].endsWith("/distill-worker") && words.some((word) => word.includes(id));
  } catch {
    return false; /* it has just ended */
  }
}

export class Service {
  constructor(build, folder) {
    this.build = build;
    this.folder = folder;
    this.state = `${folder}/state`;
    this.environment = { ...process.env, DISTILLD_STATE: this.state, DISTILLD_CACHE: `${folder}/cache` };
    this.listen = "127.0.0.1:0";
  }

  async start() {
    const log = openSync(`${this.folder}/daemon.log`, "a");

    this.daemon = spawn(`${this.build}/distilld`, ["--listen", this.listen, "--slots", "2"],
      { env: this.environment, stdio: ["ignore", log, log] });
    this.ended = once(this.daemon, "exit");
    await until("the daemon's answer", () => this.answers());
    this.listen = new URL(this.address).host;
  }

  /* A killed daemon leaves its address behind: only an answer counts. */
  async answers() {
    if (this.daemon.exitCode !== null)
      throw new Error(`distilld ended: ${readFileSync(`${this.folder}/daemon.log`, "utf8")}`);
    try {
      this.address = readFileSync(`${this.state}/address`, "utf8").trim();
      return (await fetch(`${this.address}/healthz`)).ok;
    } catch {
      return false;
    }
  }

  async kill() {
    this.daemon.kill("SIGKILL");
    await this.ended;
  }

  async ctl(...words) {
    return (await run(`${this.build}/distillctl`, words, { env: this.environment })).stdout.trim();
  }

  /* Trains without the daemon; returns the file of the model. */
  async train(name, spec) {
    await run(`${this.build}/distill-worker`, ["train", this.write(name, spec), "--out", `${this.folder}/${name}`],
      { env: this.environment });
    return `${this.folder}/${name}/student.safetensors`;
  }

  async submit(name, spec) {
    return this.ctl("submit", this.write(name, { name, ...spec }));
  }

  write(name, spec) {
    writeFileSync(`${this.folder}/${name}.json`, JSON.stringify(spec));
    return `${this.folder}/${name}.json`;
  }

  get token() {
    return readFileSync(`${this.state}/token`, "utf8").trim();
  }

  async get(path) {
    const response = await fetch(`${this.address}/api/v1${path}`,
      { headers: { Authorization: `Bearer ${this.token}` } });

    if (!response.ok)
      throw new Error(`GET ${path}: status ${response.status}`);
    return response.json();
  }

  /* SIGSTOP: the ranks of a job stand still, so that a slow reader misses nothing; SIGCONT: they go on. */
  signalRanks(id, signal) {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
      if (isRank(pid, id))
        try {
          process.kill(Number(pid), signal);
        } catch (error) {
          if (error.code !== "ESRCH") /* it has just ended */
            throw error;
        }
  }

  job(id) {
    return this.get(`/jobs/${id}`);
  }

  async stop() {
    if (this.daemon.exitCode !== null || this.daemon.signalCode !== null)
      await this.start();
    for (const { id, finished_at: end } of (await this.get("/jobs")).items)
      if (!end) {
        this.signalRanks(id, "SIGCONT");
        await this.ctl("cancel", id);
        await until(`the end of ${id}`, async () => (await this.job(id)).finished_at);
      }
    this.daemon.kill("SIGTERM");
    await this.ended;
  }
}
