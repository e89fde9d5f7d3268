/* One job, live. */
import { Actions } from "./actions.js";
import { getJson, jobPath } from "./api.js";
import { haveCharts } from "./chart.js";
import { Details, Files } from "./details.js";
import { h, setText, show } from "./dom.js";
import { count, duration } from "./format.js";
import { ProgressBar, remaining, StateChip } from "./jobview.js";
import { LogTail } from "./log.js";
import { Pace } from "./pace.js";
import { Panels } from "./panels.js";
import { SeriesSet } from "./series.js";
import { isGoing, isOfSweep, isSweep, pageOf } from "./store.js";
import { Tiles } from "./tiles.js";

/* Of a curve, when the page is opened; a screen has fewer. */
const POINTS_MAX = 2000;

/* Running: what a job that is being cancelled says. */
const REASON_TITLES = { queued: "Why it waits", running: "Stopping", failed: "Why it failed",
  cancelled: "Why it was cancelled" };

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
    this.meanwhile = null; /* points that arrive while the series are being read */
    this.pace = new Pace(() => this.draw());
    this.build();
    this.load();
    this.onJob();
  }

  build() {
    this.up = h("a", { hidden: true }, " · its sweep");
    this.name = h("h1", {}, this.id);
    this.sub = h("p", { class: "sub" });
    this.chip = new StateChip();
    this.actions = new Actions(this.id);
    this.details = new Details();
    this.files = new Files(this.id);
    this.log = new LogTail(this.id);
    this.body = h("div", { class: "stack", hidden: true }, this.buildRun(), this.buildReason(),
      this.buildFigures(),
      h("div", { class: "columns" }, this.details.element, this.files.element), this.log.element);
    this.element = h("article", {},
      h("nav", { class: "crumbs", "aria-label": "up" }, h("a", { href: "#/" }, "← All jobs"), this.up),
      h("header", { class: "title" }, this.name, this.chip.element, this.actions.element),
      this.sub, this.body);
  }

  buildRun() {
    this.bar = new ProgressBar();
    this.where = h("span", {});
    this.rest = h("span", {});
    return h("section", { class: "card run" }, this.bar.element,
      h("div", { class: "run-text" }, this.where, this.rest));
  }

  buildReason() {
    this.why = h("h2", {});
    this.because = h("p", {});
    this.code = h("p", { class: "id" });
    this.reason = h("section", { class: "card reason", role: "alert", hidden: true },
      this.why, this.because, this.code);
    return this.reason;
  }

  buildFigures() {
    const slider = smoothingSlider((weight) => {
      this.weight = weight;
      this.pace.soon();
    });

    this.weight = slider.start;
    this.tiles = new Tiles();
    this.panels = new Panels();
    show(slider.element, haveCharts());
    this.figures = h("section", { class: "stack", hidden: true }, this.tiles.element,
      h("div", { class: "bar-row" }, h("h2", {}, "Curves"), h("span", { class: "note" }, haveCharts()
        ? "over the training step; drag to zoom, double-click to reset"
        : "charts are missing here (make web brings them); the figures stand below"), slider.element),
      this.panels.element);
    return this.figures;
  }

  close() {
    this.closed = true;
    this.pace.close();
    this.panels.close();
    this.log.close();
  }

  onEvent(kind, data) {
    const mine = kind === "snapshot" || (data.job ?? data.id) === this.id;

    if (!mine)
      return;
    this.missing ||= kind === "purged";
    if (kind === "metric")
      this.onMetric(data);
    else if (kind === "log")
      this.log.announce();
    else
      this.onJob();
    /* After these something may have been missed, or the job has made files. */
    if (kind === "snapshot" || kind === "state" || kind === "end")
      this.load();
  }

  onMetric({ points }) {
    for (const point of points)
      this.set.add(point);
    this.meanwhile?.push(...points);
    this.pace.soon();
  }

  async load() {
    await this.loadJob();
    if (!this.closed && !this.missing)
      await Promise.allSettled([this.loadSeries(), this.loadFiles(), this.log.read()]);
  }

  /* The stream need not carry the whole job: spec and result come from here. */
  async loadJob() {
    try {
      this.store.update(await getJson(jobPath(this.id)));
      this.missing = false;
    } catch (error) {
      this.missing = error.status === 404 || error.status === 410;
    }
    if (!this.closed)
      this.onJob();
  }

  /* Replaces what was there: a job that runs again may have taken points back. */
  async loadSeries() {
    const meanwhile = this.meanwhile = [];
    const { series } = await getJson(jobPath(this.id, `/metrics/series?max_points=${POINTS_MAX}`));

    if (meanwhile !== this.meanwhile)
      return;
    this.meanwhile = null;
    this.set = new SeriesSet();
    this.set.addAll(series);
    for (const point of meanwhile)
      this.set.add(point);
    this.pace.soon();
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
    if (isSweep(job) && !this.closed)
      location.replace(pageOf(job));
    show(this.up, isOfSweep(job));
    this.up.setAttribute("href", `#/sweeps/${job.sweep?.parent}`);
    this.title = job.name || job.id;
    setText(this.name, this.title);
    setText(this.sub, [job.id, job.kind?.replace("_", " "),
      job.attempt > 1 ? `attempt ${job.attempt}` : null].filter(Boolean).join(" · "));
    this.chip.update(job);
    this.actions.update(job);
    this.bar.update(job);
    this.showProgress(job, job.progress ?? {});
    this.showReason(job);
    this.details.update(job);
  }

  showProgress(job, p) {
    const going = isGoing(job);
    const eta = remaining(job);

    setText(this.where, [
      p.total_steps > 0 && `step ${count(p.step)} of ${count(p.total_steps)}`,
      p.epoch > 0 && `epoch ${p.epoch}`,
      going && p.phase,
      going && p.disconnected_since && "disconnected: its ranks are not heard, and may well go on",
    ].filter(Boolean).join(" · ") || "no steps yet");
    setText(this.rest, [
      going && Number.isFinite(p.images_per_s) && `${count(Math.round(p.images_per_s))} images/s`,
      Number.isFinite(eta) && `ETA ${duration(eta)}`,
    ].filter(Boolean).join(" · "));
  }

  showReason(job) {
    const { code, message } = job.reason ?? {};

    setText(this.why, REASON_TITLES[job.state] ?? "Note");
    setText(this.because, message ?? "");
    setText(this.code, code ?? "");
    this.reason.dataset.state = job.state;
    show(this.reason, Boolean(message) && job.state !== "succeeded");
  }

  draw() {
    show(this.figures, this.set.all.size > 0);
    this.tiles.draw(this.set);
    this.panels.draw(this.set, this.weight);
  }

  /* Colours are read when a chart is made. */
  restyle() {
    const panels = new Panels();

    this.panels.close();
    this.panels.element.replaceWith(panels.element);
    this.panels = panels;
    this.draw();
  }
}
