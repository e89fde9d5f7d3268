/* What a reader can do to a job. */
import { jobPath, post } from "./api.js";
import { h, setText, show } from "./dom.js";
import { isFinished } from "./store.js";

const ACTIONS = [
  { verb: "cancel", label: "Cancel", question: "Cancel this job? What it has written stays.",
    when: (job) => !isFinished(job) && !job.cancel_requested },
  { verb: "hold", label: "Hold", question: "Hold this job? It stops with a checkpoint and waits until it is released.",
    when: (job) => !isFinished(job) && !job.cancel_requested && !job.hold_requested },
  { verb: "release", label: "Release", question: "Let this job go on?",
    when: (job) => !isFinished(job) && job.hold_requested },
  { verb: "retry", label: "Run again", question: "Run this job again? It goes on from its newest checkpoint.",
    when: (job) => job.state === "failed" || job.state === "cancelled" },
];

export class Actions {
  constructor(id) {
    this.id = id;
    this.said = h("span", { class: "said", role: "alert" });
    this.buttons = ACTIONS.map((action) =>
      h("button", { type: "button", hidden: true, onclick: () => this.act(action) }, action.label));
    this.element = h("span", { class: "actions" }, this.said, this.buttons);
  }

  update(job) {
    ACTIONS.forEach((action, i) => show(this.buttons[i], action.when(job)));
  }

  /* The event stream brings what comes of it. */
  async act({ verb, question }) {
    if (!confirm(question))
      return;
    try {
      await post(jobPath(this.id, `:${verb}`));
      setText(this.said, "");
    } catch (error) {
      setText(this.said, error.message);
    }
  }
}
