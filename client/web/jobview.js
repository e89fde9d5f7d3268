/* Small pieces that both pages show of a job. */
import { h, setText } from "./dom.js";
import { percent } from "./format.js";
import { doneShare } from "./store.js";

export class StateChip {
  constructor() {
    this.element = h("span", { class: "chip" });
  }

  update(job) {
    setText(this.element, job.state);
    this.element.dataset.state = job.state;
  }
}

export class ProgressBar {
  constructor() {
    this.fill = h("span", { class: "fill" });
    this.text = h("span", { class: "share" });
    this.bar = h("span", { class: "bar", role: "progressbar", "aria-valuemin": "0",
      "aria-valuemax": "100", "aria-label": "progress" }, this.fill);
    this.element = h("span", { class: "progress" }, this.bar, this.text);
  }

  update(job) {
    const share = doneShare(job);

    this.fill.style.width = `${Number.isFinite(share) ? 100 * share : 0}%`;
    this.bar.dataset.state = job.state;
    this.bar.setAttribute("aria-valuenow", Number.isFinite(share) ? Math.floor(100 * share) : 0);
    setText(this.text, percent(share));
  }
}

export function remaining(job) {
  return job.state === "running" ? job.progress?.eta_s : NaN;
}

/* Of a finished job, as result.json has it. */
export function finalTop1(job) {
  return job.result?.final?.top1;
}
