/* The newest figures of a job, large. */
import { h, setText, show } from "./dom.js";
import { fixed } from "./format.js";

/* Of the test split, else of training. */
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

export class Tiles {
  constructor() {
    this.tiles = TILES.map((row) => new Tile(row));
    this.element = h("dl", { class: "tiles" }, this.tiles.map((t) => t.element));
  }

  draw(set) {
    for (const tile of this.tiles)
      tile.draw(set);
  }
}
