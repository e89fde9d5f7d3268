/* What is known of the jobs: filled by the event stream, read by the pages. */
export class Store {
  constructor() {
    this.jobs = new Map();
    this.complete = false; /* until the first snapshot */
  }

  take(kind, data) {
    if (kind === "snapshot")
      this.replace(data.items);
    else if (kind === "purged")
      this.jobs.delete(data.id);
    else if (data.id)
      this.update(data);
  }

  /* What a snapshot leaves out of a job (its spec) does not change. */
  replace(items) {
    this.complete = true;
    this.jobs = new Map(items.map((job) => [job.id, { ...this.jobs.get(job.id), ...job }]));
  }

  /* Takes a job object, or the part of one that has changed. */
  update(part) {
    this.jobs.set(part.id, { ...this.jobs.get(part.id), ...part });
  }

  /* What runs, then the newest first: ids rise with time. */
  ordered() {
    return [...this.jobs.values()].sort((a, b) => isGoing(b) - isGoing(a) || (a.id < b.id ? 1 : -1));
  }
}

/* What is read out of a job, in one place for list and job page. */
export function isGoing(job) {
  return job.state === "running" || job.state === "starting";
}

export function isFinished(job) {
  return Boolean(job.finished_at);
}

export function isSweep(job) {
  return Boolean(job.sweep?.total);
}

export function isOfSweep(job) {
  return Boolean(job.sweep?.parent);
}

export function pageOf(job) {
  return isSweep(job) ? `#/sweeps/${job.id}` : `#/jobs/${job.id}`;
}

export function doneShare(job) {
  const { step, total_steps: total } = job.progress ?? {};

  if (job.state === "succeeded")
    return 1;
  return Number.isFinite(step) && total > 0 ? Math.min(1, step / total) : NaN;
}
