/* One job, live. */
import { getJson, jobPath } from "./api.js";
import { Details, Files } from "./details.js";
import { h, setText, show } from "./dom.js";
import { count, duration, fixed } from "./format.js";
import { ProgressBar, remaining, StateChip } from "./jobview.js";
import { LogTail } from "./log.js";
import { Panels } from "./panels.js";
import { SeriesSet } from "./series.js";
import { isFinished } from "./store.js";

const DRAW_MS = 200;

/* The newest value of a series, the test split first. */
const TILES = [
  { label: "Top-1", unit: "%", hint: "images classified right", name: "top1", digits: 2 },
  { label: "Loss", hint: "sum of the terms", name: "loss/total", digits: 4 },
  { label: "Norm ratio", hint: "student to teacher", name: "norm/ratio", digits: 3 },
  { label: "Below teacher", hint: "share of samples", name: "norm/below_share", digits: 3 },
  { label: "Cosine", hint: "to the class mean", name: "cos/class_mean", digits: 3 },
];

class Tile {
  constructor(row) {
    this.row = row;
    this.value = h("dd", {});
    this.element = h("div", { class: "tile" },
      h("dt", {}, row.label, h("small", {}, row.hint)), this.value);
  }

  draw(set) {
    const { name, digits, unit } = this.row;
    const value = set.last(name, "test") ?? set.last(name, "train");

    show(this.element, value !== undefined);
    setText(this.value, fixed(value, digits) + (unit ? ` ${unit}` : ""));
  }
}

function smoothingSlider(onChange) {
  const start = Number(localStorage.getItem("smoothing") ?? 0);
  const input = h("input", { type: "range", id: "smoothing", min: "0", max: "0.99", step: "0.01",
    value: String(start), oninput: () => {
      localStorage.setItem("smoothing", input.value);
      onChange(Number(input.value));
    } });

  return { start, element: h("label", { class: "slider", for: "smoothing" }, "Smoothing", input) };
}

export class JobPage {
  constructor(store, id) {
    this.store = store;
    this.id = id;
    this.title = id;
    this.set = new SeriesSet();
    this.build();
    this.load();
    this.onJob();
  }

  build() {
    const slider = smoothingSlider((weight) => {
      this.weight = weight;
      this.drawSoon();
    });

    this.weight = slider.start;
    this.name = h("h1", {}, this.id);
    this.sub = h("p", { class: "sub" });
    this.chip = new StateChip();
    this.bar = new ProgressBar();
    this.where = h("span", {});
    this.rest = h("span", {});
    this.reason = h("section", { class: "card reason", role: "alert", hidden: true });
    this.tiles = TILES.map((row) => new Tile(row));
    this.figures = h("dl", { class: "tiles", hidden: true }, this.tiles.map((t) => t.element));
    this.panels = new Panels();
    this.slider = slider.element;
    this.curves = h("section", { class: "curves", hidden: true },
      h("div", { class: "bar-row" }, h("h2", {}, "Curves"), h("span", { class: "note" },
        window.uPlot ? "over the training step; drag to zoom, double-click to reset"
          : "charts are missing here (make web brings them); the figures stand below"), slider.element),
      this.panels.element);
    this.details = new Details();
    this.files = new Files(this.id);
    this.log = new LogTail(this.id);
    show(slider.element, Boolean(window.uPlot));
    this.body = h("div", { class: "stack", hidden: true },
      h("section", { class: "card run" }, this.bar.element,
        h("div", { class: "run-text" }, this.where, this.rest)),
      this.reason, this.figures, this.curves,
      h("div", { class: "columns" }, this.details.element, this.files.element), this.log.element);
    this.element = h("article", {},
      h("nav", { class: "crumbs", "aria-label": "up" }, h("a", { href: "#/" }, "← All jobs")),
      h("header", { class: "title" }, this.name, this.chip.element), this.sub, this.body);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.panels.close();
    this.log.close();
  }

  onEvent(kind, data) {
    const mine = kind === "snapshot" || (data.job ?? data.id) === this.id;

    if (!mine)
      return;
    if (kind === "metric")
      this.onMetric(data);
    else if (kind === "log")
      this.log.announce();
    else
      this.onJob();
    /* After these something may have been missed, or the job has made files. */
    if (kind !== "metric" && kind !== "log" && kind !== "progress")
      this.load();
  }

  onMetric({ points }) {
    for (const { name, split, step, value } of points)
      this.set.add(name, split, step, value);
    this.drawSoon();
  }

  async load() {
    await this.loadJob();
    if (!this.missing)
      await Promise.allSettled([this.loadSeries(), this.loadFiles(), this.log.read()]);
  }

  /* The stream need not carry the whole job: spec and result come from here. */
  async loadJob() {
    try {
      this.store.update(await getJson(jobPath(this.id)));
      this.missing = false;
    } catch (error) {
      this.missing = error.status === 404;
    }
    if (!this.closed)
      this.onJob();
  }

  async loadSeries() {
    const { series } = await getJson(jobPath(this.id, "/metrics/series"));

    this.set.addAll(series);
    this.drawSoon();
  }

  async loadFiles() {
    const { items } = await getJson(jobPath(this.id, "/artifacts"));

    this.files.show(items);
  }

  onJob() {
    const job = this.store.jobs.get(this.id);

    show(this.body, Boolean(job));
    show(this.chip.element, Boolean(job));
    if (!job) {
      setText(this.sub, this.missing ? "There is no such job." : "Loading…");
      return;
    }
    const p = job.progress ?? {};
    this.title = job.name ?? job.id;
    setText(this.name, this.title);
    setText(this.sub, [job.id, job.kind?.replace("_", " "),
      job.attempt > 1 ? `attempt ${job.attempt}` : null].filter(Boolean).join(" · "));
    this.chip.update(job);
    this.bar.update(job);
    setText(this.where, this.place(job, p));
    setText(this.rest, this.pace(job, p));
    this.showReason(job);
    this.details.update(job);
  }

  place(job, p) {
    return [
      Number.isFinite(p.step) ? `step ${count(p.step)}${p.total_steps ? ` of ${count(p.total_steps)}` : ""}` : null,
      Number.isFinite(p.epoch) ? `epoch ${p.epoch}` : null,
      isFinished(job) ? null : p.phase,
    ].filter(Boolean).join(" · ");
  }

  pace(job, p) {
    const eta = remaining(job);

    return [
      !isFinished(job) && Number.isFinite(p.images_per_s) ? `${count(Math.round(p.images_per_s))} images/s` : null,
      Number.isFinite(eta) ? `ETA ${duration(eta)}` : null,
    ].filter(Boolean).join(" · ");
  }

  showReason(job) {
    const { code, message } = job.reason ?? {};

    show(this.reason, Boolean(message) && job.state !== "succeeded");
    this.reason.dataset.state = job.state;
    this.reason.replaceChildren(h("h2", {}, `Why ${job.state}`), h("p", {}, message ?? ""),
      code ? h("p", { class: "id" }, code) : "");
  }

  drawSoon() {
    this.timer ??= setTimeout(() => requestAnimationFrame(() => {
      this.timer = null;
      this.draw();
    }), DRAW_MS);
  }

  draw() {
    if (this.closed)
      return;
    for (const tile of this.tiles)
      tile.draw(this.set);
    show(this.figures, this.set.all.size > 0);
    show(this.curves, this.set.all.size > 0);
    this.panels.draw(this.set, this.weight);
  }

  /* Colours are read when a chart is made. */
  restyle() {
    this.panels.close();
    const panels = new Panels();
    this.panels.element.replaceWith(panels.element);
    this.panels = panels;
    this.draw();
  }
}
