/* One panel of curves over the training step. For tests and for the console, the <figure> carries
 * `plot`, the uPlot object, and `keys`: plot.data[i + 1] are the values of series keys[i] ("test top1"),
 * plot.data[0] the steps. */
import { h, setText } from "./dom.js";
import { count, short } from "./format.js";
import { align, known, smooth } from "./series.js";

const HEIGHT = 210;
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
/* Between ticks: 1, 2, 5, 10, .. steps. */
const STEPS = Array.from({ length: 30 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
const SMOOTH_FROM = 30; /* points: shorter curves are shown as they are */

let Plot = null;

/* Fetches uPlot; only where the daemon has it, because a browser reports every file that is missing. */
export async function loadCharts() {
  document.head.append(h("link", { rel: "stylesheet", href: "vendor/uPlot.min.css" }));
  ({ default: Plot } = await import("./vendor/uPlot.esm.js"));
}

export function haveCharts() {
  return Plot !== null;
}

export function makeChart(panel) {
  return Plot ? new Chart(panel) : new ChartTable(panel);
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(s) {
  return css(COLOURS[s.colour % COLOURS.length]);
}

function lastBefore(values, index) {
  while (index >= 0 && values[index] === null)
    index--;
  return index >= 0 ? values[index] : null;
}

class Chart {
  constructor(panel) {
    this.panel = panel;
    this.hidden = new Set();
    this.weight = 0;
    this.at = h("span", { class: "at" });
    this.body = h("div", { class: "plot" });
    this.legend = h("ul", { class: "legend" });
    this.element = h("figure", { class: panel.wide ? "chart wide" : "chart" },
      h("figcaption", {}, h("h3", {}, panel.title), h("p", {}, panel.note), this.at),
      this.body, this.legend);
    this.element.keys = [];
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.body);
  }

  close() {
    this.resize.disconnect();
    this.element.plot?.destroy();
  }

  /* list: [{key, label, colour, dots, dashes, steps, values}]; range: {min, max} of the steps of all charts */
  setData(list, range, weight) {
    const keys = list.map((s) => s.key);

    this.list = list;
    this.range = range;
    if (this.weight !== weight || keys.join() !== this.element.keys.join()) {
      this.weight = weight;
      this.element.keys = keys;
      this.rebuild();
    } else {
      this.refresh();
    }
  }

  columns() {
    const raw = align(this.list);

    return this.smoothed().length === 0 ? raw
      : [...raw, ...this.smoothed().map((i) => smooth(raw[i + 1], this.weight))];
  }

  /* Indexes of the series that also have a smooth curve. */
  smoothed() {
    return this.weight === 0 ? []
      : this.list.flatMap((s, i) => (s.steps.length >= SMOOTH_FROM ? [i] : []));
  }

  line(s, more) {
    return { stroke: colour(s), width: 1.75, spanGaps: true, show: !this.hidden.has(s.key),
      ...(s.dashes ? { dash: [5, 4] } : {}),
      points: { size: 5, fill: colour(s), ...(s.dots ? { show: true } : {}) }, ...more };
  }

  options() {
    const axis = { stroke: css("--ink-2"), font: `11px ${css("--font")}`,
      grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 4 } };
    const smoothed = this.smoothed();

    this.smoothedShown = smoothed.join();
    return {
      width: this.width(), height: HEIGHT, padding: [10, 12, 0, 0],
      legend: { show: false }, scales: { x: { time: false } },
      axes: [{ ...axis, size: 30, space: 70, incrs: STEPS, values: (u, ticks) => ticks.map(count) },
             { ...axis, size: 52, values: (u, ticks) => ticks.map(short) }],
      cursor: { sync: { key: "job", setSeries: false }, points: { size: 6 } },
      series: [{}, ...this.list.map((s, i) =>
        this.line(s, smoothed.includes(i) ? { alpha: 0.3, width: 1, points: { show: false } } : {})),
        ...smoothed.map((i) => this.line(this.list[i], { points: { show: false } }))],
      hooks: { setCursor: [() => this.readOut()] },
    };
  }

  width() {
    return Math.max(200, Math.floor(this.body.clientWidth));
  }

  rebuild() {
    this.element.plot?.destroy();
    this.element.plot = new Plot(this.options(), this.columns(), this.body);
    this.element.plot.setScale("x", this.range);
    this.shown = this.range;
    this.legend.replaceChildren(...this.list.map((s) => this.legendEntry(s)));
    this.readOut();
  }

  refresh() {
    const plot = this.element.plot;
    const range = this.isZoomed() ? { min: plot.scales.x.min, max: plot.scales.x.max } : this.range;

    if (this.smoothed().join() !== this.smoothedShown) {
      this.rebuild();
      return;
    }
    plot.setData(this.columns(), false);
    plot.setScale("x", range);
    this.shown = this.range;
    this.readOut();
  }

  /* By the reader's hand: inside what was shown last. A double click goes back to the chart's own data. */
  isZoomed() {
    const { scales: { x }, data: [steps] } = this.element.plot;

    return (x.min > this.shown.min || x.max < this.shown.max) &&
      (x.min > steps[0] || x.max < steps.at(-1));
  }

  fit() {
    const plot = this.element.plot;

    if (plot && plot.width !== this.width())
      plot.setSize({ width: this.width(), height: HEIGHT });
  }

  legendEntry(s) {
    const swatch = h("span", { class: `swatch${s.dots ? " dots" : ""}${s.dashes ? " dashes" : ""}` });
    const value = h("output", {});
    const button = h("button", { type: "button", "aria-pressed": String(!this.hidden.has(s.key)),
      title: "show or hide", onclick: () => this.toggle(s.key, button) }, swatch, s.label, " ", value);

    swatch.style.color = colour(s);
    return h("li", {}, button);
  }

  toggle(key, button) {
    if (!this.hidden.delete(key))
      this.hidden.add(key);
    this.list.forEach((s, i) => s.key === key &&
      this.element.plot.setSeries(i + 1, { show: !this.hidden.has(key) }));
    this.smoothed().forEach((i, k) => this.list[i].key === key &&
      this.element.plot.setSeries(this.list.length + k + 1, { show: !this.hidden.has(key) }));
    button.setAttribute("aria-pressed", String(!this.hidden.has(key)));
  }

  /* Values under the pointer, else the newest ones. */
  readOut() {
    const plot = this.element.plot;
    const hovered = plot?.cursor.idx ?? null;

    if (!plot || this.legend.children.length !== this.list.length)
      return;
    setText(this.at, hovered === null ? "" : `step ${count(plot.data[0][hovered])}`);
    this.list.forEach((s, i) => {
      const values = plot.data[i + 1];
      const v = lastBefore(values, hovered ?? values.length - 1);
      setText(this.legend.children[i].querySelector("output"), short(v));
    });
    this.body.setAttribute("role", "img");
    this.body.setAttribute("aria-label", `${this.panel.title}: ` + this.list.map((s, i) =>
      `${s.label} ${short(lastBefore(plot.data[i + 1], plot.data[0].length - 1))}`).join(", "));
  }
}

/* The same panel where `make web` has not brought uPlot. */
class ChartTable {
  constructor(panel) {
    this.rows = h("tbody", {});
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("h3", {}, panel.title), h("p", {}, panel.note)),
      h("table", {},
        h("thead", {}, h("tr", {}, ["Series", "Step", "Last", "Least", "Most"].map((t, i) =>
          h("th", { scope: "col", class: i > 0 && "num" }, t)))),
        this.rows));
  }

  close() {}

  setData(list) {
    this.rows.replaceChildren(...list.map((s) => this.row(s)));
  }

  row(s) {
    const sorted = known(s.values).sort((a, b) => a - b);

    return h("tr", {}, h("th", { scope: "row" }, s.label),
      [count(s.steps.at(-1)), short(s.values.at(-1)), short(sorted[0]), short(sorted.at(-1))]
        .map((text) => h("td", { class: "num" }, text)));
  }
}
