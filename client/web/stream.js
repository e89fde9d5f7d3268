/* The one event stream of the page. EventSource comes back by itself after a lost connection and says
 * where it was (Last-Event-ID). What it does not do is done here: notice a connection that is dead but
 * not closed (no heartbeat), and start again after an answer that made it give up. */
import { BASE, getJson, isRefused } from "./api.js";

/* What was missed (lagged, reset) needs no care of its own: a snapshot follows, and pages begin anew with it. */
const KINDS = ["snapshot", "state", "progress", "metric", "log", "end", "purged"];
const SILENCE_S = 40; /* the heartbeat comes every 15 s */
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 10000;

export class Stream {
  /* on.event(kind, data), on.status("live" | "stale", text), on.refused() when the session is over. */
  constructor(on) {
    this.on = on;
    this.pause = FIRST_PAUSE_MS;
    this.heardAt = this.lostAt = performance.now();
    this.timer = setInterval(() => this.watch(), 1000);
    this.open();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    clearTimeout(this.reopening);
    this.source.close();
  }

  open() {
    this.source = new EventSource(`${BASE}/events`);
    this.source.onopen = () => this.heard();
    this.source.onerror = () => this.lost();
    this.source.addEventListener("hb", () => this.heard());
    for (const kind of KINDS)
      this.source.addEventListener(kind, (event) => {
        this.heard();
        this.on.event(kind, JSON.parse(event.data));
      });
  }

  heard() {
    this.heardAt = performance.now();
    this.lostAt = null;
    this.pause = FIRST_PAUSE_MS;
    this.tell();
  }

  /* EventSource tries again on its own unless the daemon has answered with something else. */
  lost() {
    this.lostAt ??= performance.now();
    this.tell();
    if (this.source.readyState !== EventSource.CLOSED)
      return;
    this.reopening = setTimeout(() => this.reopen(), this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
  }

  async reopen() {
    let problem = null;

    try {
      await getJson("/version");
    } catch (error) {
      problem = error;
    }
    if (this.closed)
      return;
    if (!problem)
      this.open();
    else if (isRefused(problem))
      this.on.refused();
    else
      this.lost();
  }

  tell() {
    if (this.lostAt === null)
      this.on.status("live", "live");
    else
      this.on.status("stale", age(this.lostAt) < 2 ? "connecting" : `stale for ${Math.floor(age(this.lostAt))} s`);
  }

  watch() {
    if (this.source.readyState === EventSource.OPEN && age(this.heardAt) > SILENCE_S) {
      this.lostAt ??= this.heardAt;
      this.heardAt = performance.now();
      this.source.close();
      this.open();
    }
    this.tell();
  }
}

function age(since) {
  return (performance.now() - since) / 1000;
}
