/* Which curves a job's page shows, and where: a series belongs to the first panel that takes it, and a
 * panel appears with the first of its series. */
import { makeChart } from "./chart.js";
import { h, show } from "./dom.js";

const PANELS = [
  { title: "Loss", note: "each term as it is summed", wide: true, take: /^loss\/(.+)$/, first: ["total", "ce"] },
  { title: "Accuracy", note: "top-1 and top-5, in percent", take: /^(top\d)$/, first: ["top1"] },
  { title: "Feature norm", note: "mean length of the penultimate feature", take: /^norm\/(student|teacher)$/ },
  { title: "Spread of norms", note: "a tenth, a half and nine tenths of a batch lie below",
    take: /^norm\/((?:student|teacher)_p\d+)$/ },
  { title: "Spread of norms by epoch", note: "the same of all samples of an epoch",
    take: /^norm\/((?:student|teacher)_epoch_p\d+)$/ },
  { title: "Norm ratio", note: "student to teacher, and the share of samples below the teacher's",
    take: /^norm\/(ratio|below_share)$/, first: ["ratio"] },
  { title: "Direction", note: "cosine between feature and class mean", take: /^cos\/(class_mean)$/ },
  { title: "Loss terms", note: "before weight and ramp", take: /^loss_raw\/(.+)$/, first: ["ce"] },
  { title: "Learning rate", note: "as the schedule has it", take: /^(lr)$/ },
  { title: "Gradient norm", note: "over all parameters", take: /^(grad_norm)$/ },
  { title: "More", note: "what else the worker tells", take: /^(.+)$/ },
];

const LABELS = { class_mean: "cosine", below_share: "share below", top1: "top-1", top5: "top-5",
  grad_norm: "gradient norm", lr: "learning rate" };

function rank(panel, label) {
  const i = panel.first?.indexOf(label) ?? -1;

  return i < 0 ? Infinity : i;
}

/* The series of a panel, in a fixed order: a colour for each name; where there are several splits, dots
 * mark test and dashes val. */
function pick(panel, set) {
  const found = [...set.all.values()]
    .filter((s) => PANELS.find((p) => p.take.test(s.name)) === panel)
    .map((s) => ({ ...s, label: panel.take.exec(s.name)[1] }))
    .sort((a, b) => rank(panel, a.label) - rank(panel, b.label) || a.label.localeCompare(b.label) ||
      a.split.localeCompare(b.split));
  const splits = new Set(found.map((s) => s.split));
  const names = [...new Set(found.map((s) => s.name))];

  return found.map((s) => ({ ...s, colour: names.indexOf(s.name),
    dots: splits.size > 1 && s.split === "test", dashes: s.split === "val",
    label: (LABELS[s.label] ?? s.label.replaceAll("_", " ")) + (splits.size > 1 ? ` (${s.split})` : "") }));
}

export class Panels {
  constructor() {
    this.charts = PANELS.map((panel) => ({ panel, chart: makeChart(panel) }));
    this.element = h("div", { class: "charts" }, this.charts.map(({ chart }) => chart.element));
    for (const { chart } of this.charts)
      show(chart.element, false);
  }

  close() {
    for (const { chart } of this.charts)
      chart.close();
  }

  draw(set, weight) {
    const range = set.range();

    for (const { panel, chart } of this.charts) {
      const list = pick(panel, set);

      show(chart.element, list.length > 0);
      if (list.length > 0)
        chart.setData(list, range, weight);
    }
  }
}
