/* The metrics of one job: series by split and name, each with steps in rising order. Points come from
 * /metrics/series and from events, in any order and more than once: a step has one value, null where
 * it was not a finite number. */
export class SeriesSet {
  constructor() {
    this.all = new Map();
  }

  static key(name, split) {
    return `${split} ${name}`;
  }

  get(name, split) {
    const key = SeriesSet.key(name, split);

    if (!this.all.has(key))
      this.all.set(key, { key, name, split, steps: [], values: [] });
    return this.all.get(key);
  }

  last(name, split) {
    return this.all.get(SeriesSet.key(name, split))?.values.at(-1);
  }

  /* First and last step of all series. */
  range() {
    const ends = [...this.all.values()].flatMap((s) => [s.steps[0], s.steps.at(-1)]);

    return { min: Math.min(...ends), max: Math.max(...ends) };
  }

  add({ name, split, step, value }) {
    const s = this.get(name, split);
    const i = place(s.steps, step);

    if (s.steps[i] === step) {
      s.values[i] = value;
    } else {
      s.steps.splice(i, 0, step);
      s.values.splice(i, 0, value);
    }
  }

  /* [{name, split, points: [[step, value], ..]}] as the API gives them. */
  addAll(list) {
    for (const { name, split, points } of list)
      for (const [step, value] of points)
        this.add({ name, split, step, value });
  }
}

/* Where the step stands or belongs; most are new and belong to the end. */
function place(steps, step) {
  let low = 0, high = steps.length;

  if (high === 0 || steps[high - 1] < step)
    return high;
  while (low < high) {
    const middle = (low + high) >> 1;

    if (steps[middle] < step)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The finite ones. */
export function known(values) {
  return values.filter((v) => v !== null);
}

/* One x axis for several series: [steps, values, values, ..] with null where a series has no point. */
export function align(list) {
  const steps = [...new Set(list.flatMap((s) => s.steps))].sort((a, b) => a - b);
  const row = new Map(steps.map((step, i) => [step, i]));
  const columns = list.map((s) => {
    const column = new Array(steps.length).fill(null);
    s.steps.forEach((step, i) => { column[row.get(step)] = s.values[i]; });
    return column;
  });

  return [steps, ...columns];
}

/* An exponential mean without the pull towards its start (the bias of the first values is divided
 * out). Gaps stay gaps. weight 0: the values themselves. */
export function smooth(values, weight) {
  let mean = 0, mass = 0;

  return values.map((v) => {
    if (v === null)
      return null;
    mean = weight * mean + (1 - weight) * v;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}
