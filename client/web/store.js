/* What is known of the jobs: filled by the event stream, read by the pages. */
export class Store {
  constructor() {
    this.jobs = new Map();
    this.listeners = new Set();
  }

  /* listener(kind, data) after each event that was taken in; returns the way to stop it. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  take(kind, data) {
    if (kind === "snapshot")
      this.replace(data.items);
    else if (data.id)
      this.update(data);
    for (const listener of this.listeners)
      listener(kind, data);
  }

  replace(items) {
    this.jobs = new Map(items.map((job) => [job.id, job]));
  }

  /* Takes a job object, or the part of one that has changed. */
  update(part) {
    this.jobs.set(part.id, { ...this.jobs.get(part.id), ...part });
  }

  newestFirst() {
    return [...this.jobs.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  }
}

/* Everything that is shown of progress and state, in one place for list and job page. */
export function isFinished(job) {
  return Boolean(job.finished_at);
}

export function doneShare(job) {
  const { step, total_steps: total } = job.progress ?? {};

  if (job.state === "succeeded")
    return 1;
  return Number.isFinite(step) && total > 0 ? Math.min(1, step / total) : NaN;
}
