/* The facts of a job that do not move: where it came from, what it made. */
import { BASE, jobPath } from "./api.js";
import { h } from "./dom.js";
import { bytes, clock, duration } from "./format.js";
import { valuesText } from "./sweep.js";

function losses(list) {
  return list?.map((l) => `${l.weight ?? 1} × ${l.kind}${l.ramp_epochs ? ` (ramp ${l.ramp_epochs})` : ""}`)
    .join(" + ");
}

function seconds(from, to) {
  return from && to ? duration((Date.parse(to) - Date.parse(from)) / 1000) : undefined;
}

function classes(list) {
  if (!list?.length)
    return undefined;
  const run = list.every((c, i) => c === list[0] + i);
  return run && list.length > 2 ? `${list[0]} to ${list.at(-1)} (${list.length})` : list.join(", ");
}

const FACTS = [
  ["Data", (j) => j.spec?.data?.source],
  ["Classes", (j) => classes(j.spec?.data?.classes)],
  ["Teacher", (j) => j.spec?.teacher?.model],
  ["Student", (j) => j.spec?.student?.model],
  ["Losses", (j) => losses(j.spec?.losses)],
  ["Optimizer", (j) => j.spec?.optimizer && `${j.spec.optimizer.kind}, lr ${j.spec.optimizer.lr}, ` +
    `weight decay ${j.spec.optimizer.weight_decay}`],
  ["Schedule", (j) => j.spec?.schedule?.kind],
  ["Epochs", (j) => j.spec?.train?.epochs],
  ["Batch", (j) => j.spec?.train && `${j.spec.train.batch} in ${j.spec.train.lanes} lanes`],
  ["Seed", (j) => j.spec?.train?.seed],
  ["In the sweep", (j) => j.sweep?.values && valuesText(j.sweep.values)],
  ["Project", (j) => j.project],
  ["Ranks", (j) => (j.elastic ? `${j.ranks}, between ${j.elastic.min} and ${j.elastic.max} as slots are free` : j.ranks)],
  ["Attempt", (j) => j.attempt],
  ["Failures", (j) => Object.entries(j.failures ?? {}).map(([of, n]) => `${n} × ${of}`).join(", ")],
  ["Waits for", (j) => (j.finished_at ? undefined : j.spec?.depends_on?.map((d) => d.job).join(", "))],
  ["Not before", (j) => j.not_before && clock(j.not_before)],
  ["Planned start", (j) => j.planned_start && clock(j.planned_start)],
  ["Created", (j) => j.created_at && clock(j.created_at)],
  ["Started", (j) => j.started_at && clock(j.started_at)],
  ["Finished", (j) => j.finished_at && clock(j.finished_at)],
  ["Took", (j) => seconds(j.started_at, j.finished_at)],
  ["Class means", (j) => j.result?.class_means],
  ["Resumed from", (j) => j.result?.resumed_from && `step ${j.result.resumed_from}`],
];

export class Details {
  constructor() {
    this.list = h("dl", { class: "facts" });
    this.element = h("section", { class: "card" }, h("h2", {}, "Details"), this.list);
  }

  update(job) {
    const known = FACTS.map(([label, read]) => [label, read(job)])
      .filter(([, text]) => text !== undefined && text !== null && text !== "");
    const shown = JSON.stringify(known);

    if (shown === this.shown)
      return;
    this.shown = shown;
    this.list.replaceChildren(...known.flatMap(([label, text]) =>
      [h("dt", {}, label), h("dd", {}, String(text))]));
  }
}

export class Files {
  constructor(id) {
    this.id = id;
    this.rows = h("tbody", {});
    this.element = h("section", { class: "card" }, h("h2", {}, "Files"), h("table", { class: "files" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name"),
        h("th", { scope: "col", class: "num" }, "Size"))),
      this.rows));
  }

  show(items) {
    this.rows.replaceChildren(...items.map((f) => h("tr", {},
      h("td", {}, h("a", { href: this.address(f.name), download: f.name.split("/").at(-1) }, f.name)),
      h("td", { class: "num" }, bytes(f.size_bytes)))));
    if (items.length === 0)
      this.rows.replaceChildren(h("tr", {}, h("td", { colspan: "2", class: "empty" }, "None yet.")));
  }

  address(name) {
    return BASE + jobPath(this.id, `/artifacts/${encodeURIComponent(name)}`);
  }
}
