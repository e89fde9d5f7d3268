/* The registered models, students under their teachers. */
import { BASE, getJson } from "./api.js";
import { h, setText, show } from "./dom.js";
import { ageSeconds, bytes, clock, duration } from "./format.js";
import { familyOrder, origin, title } from "./lineage.js";

const TITLES = [["Model"], ["Kind"], ["Architecture"], ["Classes", "num"], ["Size", "num"], ["Comes from"], ["Job"],
  ["Age", "num"]];
const REFRESH_MS = 15000; /* no event tells of a model */
const INDENT_EM = 1.5;

function filePath({ name, version }) {
  return `${BASE}/models/${encodeURIComponent(name)}/versions/${version}/file`;
}

function row({ model, depth }) {
  const job = model.lineage.job;
  const name = h("div", {},
    h("a", { href: filePath(model), download: `${title(model)}.${model.format}` }, title(model)),
    h("span", { class: "id", title: model.sha256 }, model.sha256.slice(0, 12)));

  name.style.marginLeft = `${depth * INDENT_EM}em`;
  return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, model.kind), h("td", {}, model.architecture),
    h("td", { class: "num" }, String(model.classes ?? "–")), h("td", { class: "num" }, bytes(model.size_bytes)),
    h("td", {}, origin(model) ?? "–"),
    h("td", {}, job ? h("a", { href: `#/jobs/${job}` }, job.slice(-6)) : "–"),
    h("td", { class: "num", title: clock(model.created_at) }, duration(ageSeconds(model.created_at))));
}

async function readAll() {
  const models = [];
  let token = null;

  do {
    const page = await getJson(`/models?page_size=500${token ? `&page_token=${encodeURIComponent(token)}` : ""}`);
    models.push(...page.items);
    token = page.next_page_token;
  } while (token);
  return models;
}

export class ModelsPage {
  constructor() {
    this.title = "Models";
    this.build();
    this.load();
    this.timer = setInterval(() => this.load(), REFRESH_MS);
  }

  build() {
    this.said = h("span", { class: "note", role: "status" });
    this.body = h("tbody", {});
    this.table = h("div", { class: "card scroll", hidden: true }, h("table", { class: "jobs" },
      h("thead", {}, h("tr", {}, TITLES.map(([t, c]) => h("th", { scope: "col", class: c ?? null }, t)))), this.body));
    this.empty = h("p", { class: "empty", hidden: true }, "No models yet. Register one with ",
      h("code", {}, "distillctl models add NAME --job ID"), ".");
    this.element = h("section", {},
      h("nav", { class: "crumbs", "aria-label": "up" }, h("a", { href: "#/" }, "← All jobs")),
      h("header", { class: "title" }, h("h1", {}, "Models"), this.said), this.table, this.empty);
  }

  close() {
    clearInterval(this.timer);
  }

  onEvent() {}

  async load() {
    try {
      this.draw(await readAll());
      setText(this.said, "");
    } catch (error) {
      setText(this.said, error.message);
    }
  }

  draw(models) {
    const shown = JSON.stringify(models);

    if (shown === this.shown)
      return;
    this.shown = shown;
    this.body.replaceChildren(...familyOrder(models).map(row));
    show(this.table, models.length > 0);
    show(this.empty, models.length === 0);
  }
}
