/* The list of jobs. */
import { getJson, jobPath } from "./api.js";
import { h, setText, show } from "./dom.js";
import { ageSeconds, clock, count, duration, fixed } from "./format.js";
import { finalTop1, ProgressBar, remaining, StateChip } from "./jobview.js";
import { Pace } from "./pace.js";
import { isFinished, isOfSweep, isSweep, pageOf } from "./store.js";

const TITLES = [["Job"], ["State"], ["Kind"], ["Progress"], ["ETA", "num"], ["Top-1", "num"], ["Age", "num"]];
const MORE = 100;      /* rows at first, and with each click */
const TICK_MS = 5000;  /* ages grow */
const SNAPSHOT = 500;  /* finished jobs of one state that the event stream tells of */

class Row {
  constructor(id) {
    this.link = h("a", {});
    this.kind = h("td", {});
    this.eta = h("td", { class: "num", "data-label": "ETA" });
    this.top1 = h("td", { class: "num", "data-label": "Top-1" });
    this.age = h("td", { class: "num" });
    this.chip = new StateChip();
    this.bar = new ProgressBar();
    this.element = h("tr", {}, h("th", { scope: "row" }, this.link, h("span", { class: "id" }, id)),
      h("td", {}, this.chip.element), this.kind, h("td", {}, this.bar.element), this.eta, this.top1,
      this.age);
  }

  update(job, figure) {
    this.link.setAttribute("href", pageOf(job));
    setText(this.link, job.name || job.id);
    setText(this.kind, isSweep(job) ? "sweep" : (job.kind ?? "").replace("_", " "));
    setText(this.eta, duration(remaining(job)));
    setText(this.top1, fixed(figure, 2));
    setText(this.age, duration(ageSeconds(job.created_at)));
    this.age.title = clock(job.created_at);
    this.element.title = isFinished(job) ? "" : job.reason?.message ?? "";
    this.chip.update(job);
    this.bar.update(job);
  }
}

/* All words stand in what the row shows. */
function matches(job, words) {
  const text = [job.name, job.id, job.state, job.kind].join(" ").toLowerCase();

  return words.every((word) => text.includes(word));
}

export class ListPage {
  constructor(store) {
    this.store = store;
    this.title = "Jobs";
    this.rows = new Map();
    this.measured = new Map(); /* top-1 by job, where events or a question told it */
    this.limit = MORE;
    this.pace = new Pace(() => this.draw());
    this.timer = setInterval(() => this.pace.soon(), TICK_MS);
    this.build();
    this.draw();
  }

  build() {
    this.filter = h("input", { type: "search", placeholder: "Filter by name, state, kind",
      "aria-label": "filter", oninput: () => this.draw() });
    this.said = h("span", { class: "note", role: "status" });
    this.body = h("tbody", {});
    this.table = h("div", { class: "card scroll" }, h("table", { class: "jobs" },
      h("thead", {}, h("tr", {}, TITLES.map(([t, c]) => h("th", { scope: "col", class: c ?? null }, t)))),
      this.body));
    this.more = h("button", { type: "button", onclick: () => this.showMore() }, "Show more");
    this.older = h("p", { class: "note" }, `Of finished jobs, the newest ${SNAPSHOT} of each state stand here; `,
      h("code", {}, "distillctl list"), " knows all.");
    this.empty = h("p", { class: "empty" }, "No jobs yet. Submit one with ",
      h("code", {}, "distillctl submit SPEC"), ".");
    this.element = h("section", { class: "list" },
      h("header", { class: "title" }, h("h1", {}, "Jobs"), this.said, this.filter),
      this.table, this.more, this.older, this.empty);
  }

  close() {
    clearInterval(this.timer);
    this.pace.close();
  }

  onEvent(kind, data) {
    if (kind === "metric")
      for (const point of data.points)
        if (point.name === "top1" && point.split === "test")
          this.measured.set(data.job, point.value);
    if (kind !== "log")
      this.pace.soon();
  }

  showMore() {
    this.limit += MORE;
    this.draw();
  }

  /* For a job that was running before this page came, the figure is asked for once. */
  async ask(id) {
    this.measured.set(id, NaN);
    try {
      const { series } = await getJson(jobPath(id, "/metrics/series?name=top1"));
      const last = series.find((s) => s.split === "test")?.points.at(-1);
      if (last)
        this.measured.set(id, last[1]);
    } catch {
      return; /* a figure less; the stream's badge tells about the connection */
    }
    this.pace.soon();
  }

  figure(job) {
    if (finalTop1(job) !== undefined)
      return finalTop1(job);
    if (!this.measured.has(job.id) && job.state === "running" && !isSweep(job))
      this.ask(job.id);
    return this.measured.get(job.id);
  }

  row(job) {
    if (!this.rows.has(job.id))
      this.rows.set(job.id, new Row(job.id));
    const row = this.rows.get(job.id);
    row.update(job, this.figure(job));
    return row.element;
  }

  draw() {
    const all = this.store.ordered().filter((job) => !isOfSweep(job));
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length ? all.filter((job) => matches(job, words)) : all;

    this.place(found.slice(0, this.limit).map((job) => this.row(job)));
    setText(this.said, words.length ? `${count(found.length)} of ${count(all.length)}` : this.summary(all));
    show(this.table, found.length > 0);
    show(this.more, found.length > this.limit);
    show(this.filter, all.length > 0);
    show(this.older, all.filter(isFinished).length >= SNAPSHOT);
    show(this.empty, this.store.complete && all.length === 0);
  }

  /* "2 running · 41 queued · 180 succeeded" */
  summary(jobs) {
    const states = ["running", "starting", "queued", "failed", "cancelled", "succeeded"];
    const numbers = states.map((state) => [jobs.filter((job) => job.state === state).length, state]);

    return numbers.filter(([n]) => n > 0).map(([n, state]) => `${count(n)} ${state}`).join(" · ");
  }

  /* Rows that stay where they are keep focus and selection. */
  place(elements) {
    elements.forEach((element, i) => {
      if (this.body.children[i] !== element)
        this.body.insertBefore(element, this.body.children[i] ?? null);
    });
    while (this.body.children.length > elements.length)
      this.body.lastChild.remove();
  }
}
