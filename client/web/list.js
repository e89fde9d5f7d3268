/* The list of jobs. */
import { h, setText, show } from "./dom.js";
import { ageSeconds, clock, duration, fixed } from "./format.js";
import { getJson, jobPath } from "./api.js";
import { finalTop1, ProgressBar, remaining, StateChip } from "./jobview.js";

const TITLES = [["Job"], ["State"], ["Kind"], ["Progress"], ["ETA", "num"], ["Top-1", "num"], ["Age", "num"]];

class Row {
  constructor(id) {
    this.link = h("a", { href: `#/jobs/${encodeURIComponent(id)}` });
    this.id = h("span", { class: "id" }, id);
    this.kind = h("td", {});
    this.eta = h("td", { class: "num" });
    this.top1 = h("td", { class: "num" });
    this.age = h("td", { class: "num" });
    this.chip = new StateChip();
    this.bar = new ProgressBar();
    this.element = h("tr", {}, h("th", { scope: "row" }, this.link, this.id),
      h("td", {}, this.chip.element), this.kind, h("td", {}, this.bar.element), this.eta, this.top1,
      this.age);
  }

  update(job, figure) {
    setText(this.link, job.name ?? job.id);
    setText(this.kind, (job.kind ?? "").replace("_", " "));
    setText(this.eta, duration(remaining(job)));
    setText(this.top1, fixed(figure, 2));
    setText(this.age, duration(ageSeconds(job.created_at)));
    this.age.title = clock(job.created_at);
    this.chip.update(job);
    this.bar.update(job);
  }
}

export class ListPage {
  constructor(store) {
    this.store = store;
    this.title = "Jobs";
    this.rows = new Map();
    this.measured = new Map(); /* top-1 by job, where events or a question told it */
    this.body = h("tbody", {});
    this.table = h("table", { class: "jobs" },
      h("thead", {}, h("tr", {}, TITLES.map(([t, c]) => h("th", { scope: "col", class: c ?? null }, t)))),
      this.body);
    this.empty = h("p", { class: "empty" }, "No jobs yet. Submit one with ",
      h("code", {}, "distillctl submit SPEC"), ".");
    this.element = h("section", {}, h("h1", {}, "Jobs"), h("div", { class: "card scroll" }, this.table),
      this.empty);
    this.timer = setInterval(() => this.draw(), 5000);
    this.draw();
  }

  close() {
    clearInterval(this.timer);
  }

  onEvent(kind, data) {
    if (kind === "metric")
      for (const point of data.points)
        if (point.name === "top1" && point.split === "test")
          this.measured.set(data.job, point.value);
    this.draw();
  }

  /* For a job that was running before this page came, the figure is asked for once. */
  async ask(job) {
    this.measured.set(job.id, NaN);
    try {
      const { series } = await getJson(jobPath(job.id, "/metrics/series?name=top1"));
      const last = series.find((s) => s.split === "test")?.points.at(-1);
      if (last)
        this.measured.set(job.id, last[1]);
    } catch {
      return; /* a figure less; the stream's badge tells about the connection */
    }
    this.draw();
  }

  figure(job) {
    if (finalTop1(job) !== undefined)
      return finalTop1(job);
    if (!this.measured.has(job.id) && job.started_at)
      this.ask(job);
    return this.measured.get(job.id);
  }

  row(id) {
    if (!this.rows.has(id))
      this.rows.set(id, new Row(id));
    return this.rows.get(id);
  }

  draw() {
    const jobs = this.store.newestFirst();
    const elements = jobs.map((job) => {
      const row = this.row(job.id);
      row.update(job, this.figure(job));
      return row.element;
    });

    if (elements.some((e, i) => this.body.children[i] !== e) || elements.length !== this.body.children.length)
      this.body.replaceChildren(...elements);
    show(this.table.parentElement, jobs.length > 0);
    show(this.empty, jobs.length === 0);
  }
}
