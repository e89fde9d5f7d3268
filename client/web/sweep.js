/* A sweep, live: its points, what they reached, and how far they are from the baseline. */
import { Actions } from "./actions.js";
import { getJson, jobPath } from "./api.js";
import { h, setText, show } from "./dom.js";
import { count, short } from "./format.js";
import { ProgressBar, StateChip } from "./jobview.js";
import { Pace } from "./pace.js";

const TITLES = [["Values"], ["Jobs"], ["Mean", "num"], ["± SD", "num"], ["Difference", "num"], ["Interval", "num"],
  [""]];
const NAMES = { "final.top1": "Top-1 at the end on the test images, in percent",
  "best.top1": "Top-1 of the best student on the test images, in percent" };
const MOST = 200;        /* points on the page */
const VALUE_LENGTH = 40; /* of a list of losses, for example, the beginning */

/* "losses.1.weight = 2, train.batch = 64" */
export function valuesText(values) {
  const texts = Object.entries(values).map(([field, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${field} = ${text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH)}…` : text}`;
  });

  return texts.join(", ") || "as submitted";
}

function signed(value) {
  return value > 0 ? `+${short(value)}` : short(value);
}

function verdict(figure, isBaseline) {
  const { difference: d, n } = figure;

  if (isBaseline)
    return "the baseline";
  if (!d)
    return n ? "the baseline has no job yet" : "no job yet";
  if (d.contains_zero === null)
    return n > 1 ? "the baseline has one seed: no interval" : "one seed: no interval";
  if (d.contains_zero)
    return "contains 0: may be chance";
  return d.value > 0 ? "higher" : "lower";
}

/* What a row shows of a point, but for its jobs. */
export function pointTexts(summary, item, name) {
  const figure = item.figures[name], d = figure.difference;

  return {
    values: valuesText(item.values),
    mean: short(figure.mean),
    sd: short(figure.sd),
    difference: signed(d?.value),
    interval: typeof d?.low === "number" ? `${signed(d.low)} to ${signed(d.high)}` : "–",
    verdict: verdict(figure, item.point === summary.baseline),
  };
}

/* "12 of 40 jobs done · 2 running · 1 failed" */
export function progressText({ total, done, running, queued, failed, cancelled }) {
  return [`${count(done)} of ${count(total)} jobs done`,
    ...[[running, "running"], [queued, "queued"], [failed, "failed"], [cancelled, "cancelled"]]
      .filter(([n]) => n > 0).map(([n, word]) => `${count(n)} ${word}`)].join(" · ");
}

function jobLinks(item) {
  return item.jobs.flatMap((job) => [
    h("a", { href: `#/jobs/${job.id}`, title: job.state }, job.seed === null ? job.state : `seed ${job.seed}`), " "]);
}

function row(summary, item, name) {
  const t = pointTexts(summary, item, name);

  return h("tr", {}, h("th", { scope: "row" }, t.values), h("td", {}, jobLinks(item)),
    ...[t.mean, t.sd, t.difference, t.interval].map((text) => h("td", { class: "num" }, text)),
    h("td", {}, t.verdict));
}

function table(summary, name) {
  return h("section", { class: "stack" }, h("h2", {}, NAMES[name] ?? name),
    h("div", { class: "card scroll" }, h("table", { class: "jobs points" },
      h("thead", {}, h("tr", {}, TITLES.map(([t, c]) => h("th", { scope: "col", class: c ?? null }, t)))),
      h("tbody", {}, summary.items.slice(0, MOST).map((item) => row(summary, item, name))))));
}

export class SweepPage {
  constructor(store, id) {
    this.store = store;
    this.id = id;
    this.title = id;
    this.pace = new Pace(() => this.load());
    this.build();
    this.load();
    this.onJob();
  }

  build() {
    this.name = h("h1", {}, this.id);
    this.sub = h("p", { class: "sub" });
    this.chip = new StateChip();
    this.actions = new Actions(this.id);
    this.bar = new ProgressBar();
    this.where = h("span", {});
    this.because = h("p", { class: "note" });
    this.note = h("p", { class: "note" });
    this.tables = h("div", { class: "stack" });
    this.body = h("div", { class: "stack", hidden: true },
      h("section", { class: "card run" }, this.bar.element, h("div", { class: "run-text" }, this.where), this.because),
      this.note, this.tables);
    this.element = h("article", {},
      h("nav", { class: "crumbs", "aria-label": "up" }, h("a", { href: "#/" }, "← All jobs")),
      h("header", { class: "title" }, this.name, this.chip.element, this.actions.element),
      this.sub, this.body);
  }

  close() {
    this.closed = true;
    this.pace.close();
  }

  /* The sweep tells of itself whenever one of its jobs has changed. */
  onEvent(kind, data) {
    if (kind !== "snapshot" && data.id !== this.id)
      return;
    this.onJob();
    this.pace.soon();
  }

  /* One question at a time: what changes meanwhile is asked for afterwards. */
  async load() {
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    try {
      const [job, summary] = await Promise.all([getJson(jobPath(this.id)), getJson(jobPath(this.id, "/summary"))]);
      this.store.update(job);
      this.summary = summary;
    } catch (error) {
      this.missing = [404, 409, 410].includes(error.status);
    }
    this.asking = false;
    if (this.closed)
      return;
    this.onJob();
    this.draw();
    if (this.askAgain)
      this.pace.soon();
    this.askAgain = false;
  }

  onJob() {
    const job = this.store.jobs.get(this.id);

    show(this.body, Boolean(job?.sweep));
    show(this.chip.element, Boolean(job));
    if (!job?.sweep) {
      setText(this.sub, this.missing ? "There is no such sweep." : "Loading…");
      return;
    }
    this.title = job.name || job.id;
    setText(this.name, this.title);
    setText(this.sub, `${job.id} · sweep`);
    setText(this.where, progressText(job.sweep));
    setText(this.because, job.reason?.message ?? "");
    this.chip.update(job);
    this.actions.update(job);
    this.bar.update(job);
  }

  draw() {
    const { summary } = this;
    const figures = Object.keys(summary?.items[0]?.figures ?? {});

    if (!summary)
      return;
    setText(this.note, `Differences are to ${valuesText(summary.baseline_values)}, with intervals of ` +
      `${100 * summary.confidence} % for each of them alone.` + (summary.points > MOST
      ? ` ${MOST} of ${count(summary.points)} points stand here; distillctl compare ${this.id} knows all.` : ""));
    this.tables.replaceChildren(...figures.map((name) => table(summary, name)));
  }
}
