/* What a reader can do to a job. */
import { jobPath, newKey, send } from "./api.js";
import { h, setText, show } from "./dom.js";
import { isFinished, isOfSweep, isSweep, pageOf } from "./store.js";

/* then: which page is shown afterwards, of the job in the answer; without it this one stays. */
const ACTIONS = [
  { path: ":checkpoint", label: "Checkpoint", question: "Write a checkpoint now? The job goes on.",
    when: (job) => runs(job) && job.kind !== "eval" && job.kind !== "class_means" },
  { path: ":preempt", label: "Let others go first",
    question: "Let those jobs go first that wait? This one stops with a checkpoint and goes on after them.",
    when: (job) => runs(job) && !job.cancel_requested && !job.hold_requested },
  { path: ":cancel", label: "Cancel", question: "Cancel this job? What it has written stays.",
    when: (job) => !isFinished(job) && !job.cancel_requested },
  { path: ":hold", label: "Hold", question: "Hold this job? It stops with a checkpoint and waits until it is released.",
    when: (job) => !isFinished(job) && !job.cancel_requested && !job.hold_requested },
  { path: ":release", label: "Release", question: "Let this job go on?",
    when: (job) => !isFinished(job) && job.hold_requested },
  { path: ":retry", label: "Run again", question: "Run this job again? It goes on from its newest checkpoint.",
    when: (job) => job.state === "failed" || job.state === "cancelled" },
  { path: ":clone", label: "Submit again", question: "Submit the same job again, as a new one?",
    when: () => true, then: pageOf },
  { method: "DELETE", path: "", label: "Remove",
    question: "Remove this job with its results, checkpoints and metrics? They cannot be brought back.",
    when: (job) => isFinished(job) && !isOfSweep(job), then: () => "#/" },
];

function runs(job) {
  return job.state === "running" && !isSweep(job);
}

export class Actions {
  constructor(id) {
    this.id = id;
    this.said = h("span", { class: "said", role: "alert" });
    this.buttons = ACTIONS.map((action) =>
      h("button", { type: "button", hidden: true, onclick: () => this.act(action) }, action.label));
    this.key = newKey();
    this.element = h("span", { class: "actions" }, this.said, this.buttons);
  }

  update(job) {
    ACTIONS.forEach((action, i) => show(this.buttons[i], action.when(job)));
  }

  enable(enabled) {
    for (const button of this.buttons)
      button.disabled = !enabled;
  }

  /* The event stream brings what comes of it. Pressed again because no answer came, it is the same request. */
  async act({ method = "POST", path, question, then }) {
    if (!confirm(question))
      return;
    this.enable(false);
    try {
      const answer = await send(method, jobPath(this.id, path), { "Idempotency-Key": this.key });

      this.key = newKey();
      setText(this.said, "");
      if (then)
        location.hash = then(answer);
    } catch (error) {
      setText(this.said, error.message);
    } finally {
      this.enable(true);
    }
  }
}
