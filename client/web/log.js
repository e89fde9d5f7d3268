/* The end of a job's log. New lines are announced by the stream and then read, at most once a second. */
import { getText, jobPath } from "./api.js";
import { h } from "./dom.js";

const LINES = 200, PAUSE_MS = 1000;

export class LogTail {
  constructor(id) {
    this.id = id;
    this.text = h("pre", { tabindex: "0", "aria-label": "the end of the log" });
    this.element = h("section", { class: "card" }, h("h2", {}, "Log"), this.text);
    this.timer = null;
  }

  close() {
    clearTimeout(this.timer);
  }

  announce() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.read();
    }, PAUSE_MS);
  }

  async read() {
    let text;

    try {
      text = await getText(jobPath(this.id, `/logs?tail=${LINES}`));
    } catch (error) {
      text = error.status === 404 ? "" : this.text.textContent;
    }
    const following = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 8;
    this.text.textContent = text || "Nothing logged yet.";
    if (following)
      this.text.scrollTop = this.text.scrollHeight;
  }
}
