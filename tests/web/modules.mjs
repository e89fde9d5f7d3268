/* What the dashboard computes: series, smoothing, texts. The random part prints its seed (TEST_SEED). */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const web = pathToFileURL(`${process.env.srcdir}/client/web/`);
const { SeriesSet, align, known, smooth } = await import(new URL("series.js", web));
const format = await import(new URL("format.js", web));
const { familyOrder, origin } = await import(new URL("lineage.js", web));
const { Store, doneShare, isOfSweep, pageOf } = await import(new URL("store.js", web));
const { pointTexts, progressText, valuesText } = await import(new URL("sweep.js", web));

const seed = Number(process.env.TEST_SEED ?? Date.now() % 2147483647) || 1;
let state = seed % 2147483647;

/* Lehmer's generator: enough to shuffle. */
function random(below) {
  state = (state * 48271) % 2147483647;
  return state % below;
}

const tests = {
  "points may come in any order and more than once"() {
    for (let round = 0; round < 200; round++) {
      const n = 1 + random(30);
      const points = Array.from({ length: n }, (_, step) => [3 * step, random(1000) / 7]);
      const drawn = [...points, ...Array.from({ length: n }, () => points[random(n)])];
      const set = new SeriesSet();

      for (let i = drawn.length - 1; i > 0; i--) {
        const k = random(i + 1);
        [drawn[i], drawn[k]] = [drawn[k], drawn[i]];
      }
      for (const [step, value] of drawn)
        set.add({ name: "loss/total", split: "train", step, value });
      const { steps, values } = set.get("loss/total", "train");
      assert.deepEqual(steps.map((s, i) => [s, values[i]]), points, `round ${round}`);
    }
  },

  "a later value of a step replaces the earlier one"() {
    const set = new SeriesSet();

    set.addAll([{ name: "top1", split: "test", points: [[1, 10], [2, 20]] }]);
    set.addAll([{ name: "top1", split: "test", points: [[2, 25]] }]);
    assert.equal(set.last("top1", "test"), 25);
    assert.equal(set.last("top1", "train"), undefined);
    assert.deepEqual(set.range(), { min: 1, max: 2 });
  },

  "a value that is no number is null, and a gap"() {
    const set = new SeriesSet();

    set.addAll([{ name: "loss/total", split: "train", points: [[1, 2.5], [2, null], [3, 1.5]] }]);
    assert.equal(set.last("loss/total", "train"), 1.5);
    assert.deepEqual(known(set.get("loss/total", "train").values), [2.5, 1.5]);
    assert.equal(format.fixed(null, 2), "–");
    assert.equal(format.short(null), "–");
  },

  "aligned columns hold every point and nothing else"() {
    assert.deepEqual(align([{ steps: [0, 2], values: [5, 6] }, { steps: [1, 2, 9], values: [7, 8, 9] }]),
      [[0, 1, 2, 9], [5, null, 6, null], [null, 7, 8, 9]]);
  },

  "smoothing keeps a constant, gaps, and the values themselves at weight 0"() {
    assert.deepEqual(smooth([3, 1, null, 2], 0), [3, 1, null, 2]);
    for (const v of smooth([4, 4, 4, 4], 0.97))
      assert.ok(Math.abs(v - 4) < 1e-12);
    assert.deepEqual(smooth([null, null], 0.5), [null, null]);
    const [first, second] = smooth([0, 1], 0.5);
    assert.equal(first, 0);
    assert.ok(Math.abs(second - 2 / 3) < 1e-12);
  },

  "durations read as distillctl writes them"() {
    const rows = [[0, "0s"], [59.6, "1m00s"], [205, "3m25s"], [3599.7, "1h00m"], [3725, "1h02m"],
      [183600, "2d03h"], [-1, "–"], [NaN, "–"], [null, "–"], [undefined, "–"]];

    for (const [seconds, text] of rows)
      assert.equal(format.duration(seconds), text);
  },

  "sizes and numbers read well"() {
    assert.equal(format.bytes(999), "999 B");
    assert.equal(format.bytes(318244), "318.2 kB");
    assert.equal(format.bytes(999960), "1.0 MB");
    assert.equal(format.short(0.00012345678), "0.0001235");
    assert.equal(format.short(1779697560000000000), "1.78e18");
    assert.equal(format.fixed(-1.5e7, 3), "-1.5e7");
    assert.equal(format.fixed(1.23456, 3), "1.235");
    assert.equal(format.percent(0.999), "99 %");
    assert.equal(format.fixed(undefined, 2), "–");
  },

  "a model stands under that which it comes from"() {
    const model = (name, teacher, start) => ({ name, version: 1, lineage: {
      teacher: teacher ? { model: teacher, version: 1 } : null, start: start ? { model: start, version: 1 } : null } });
    const list = [model("d", "b"), model("c", null, "a"), model("e", "gone"), model("b", "a"), model("a")];

    assert.deepEqual(familyOrder(list).map(({ model: m, depth }) => `${m.name}${depth}`), ["e0", "a0", "c1", "b1", "d2"]);
    assert.equal(origin(list[2]), "gone@1");
    assert.equal(origin(list[4]), undefined);
    assert.deepEqual(familyOrder([]), []);
  },

  "the store keeps what an event leaves out"() {
    const store = new Store();

    assert.equal(store.complete, false);
    store.take("snapshot", { items: [{ id: "a", name: "n", state: "running" },
      { id: "b", state: "queued" }, { id: "c", state: "queued" }] });
    assert.equal(store.complete, true);
    store.take("progress", { id: "a", progress: { step: 5, total_steps: 10 } });
    assert.equal(store.jobs.get("a").name, "n");
    assert.equal(doneShare(store.jobs.get("a")), 0.5);
    assert.deepEqual(store.ordered().map((j) => j.id), ["a", "c", "b"]);
    store.take("snapshot", { items: [{ id: "a", state: "failed" }] });
    assert.deepEqual([...store.jobs.values()].map((j) => [j.id, j.name, j.state]), [["a", "n", "failed"]]);
    store.take("purged", { id: "a", name: "n", state: "failed" });
    assert.equal(store.jobs.size, 0);
    store.take("snapshot", { items: [{ id: "a", state: "failed" }] });
    store.take("snapshot", { items: [] });
    assert.equal(store.jobs.size, 0);
  },

  "a point of a sweep tells its values, figures, and what its interval says"() {
    const difference = { value: 1.5, low: 0.5, high: 2.5, method: "paired", pairs: 3, contains_zero: false };
    const figure = (change, n = 3) => ({ n, mean: 72.5312, sd: n > 1 ? 0.25 : null,
      difference: change && { ...difference, ...change } });
    const rows = [
      [figure({}), "+1.5", "+0.5 to +2.5", "higher"],
      [figure({ value: -1.5, low: -2.5, high: -0.5 }), "-1.5", "-2.5 to -0.5", "lower"],
      [figure({ low: -0.5, contains_zero: true }), "+1.5", "-0.5 to +2.5", "contains 0: may be chance"],
      [figure({ low: null, high: null, contains_zero: null }, 1), "+1.5", "–", "one seed: no interval"],
      [figure({ low: null, high: null, contains_zero: null }), "+1.5", "–", "the baseline has one seed: no interval"],
      [figure(null), "–", "–", "the baseline has no job yet"],
      [figure(null, 0), "–", "–", "no job yet"],
    ];

    for (const [f, change, interval, verdict] of rows)
      assert.deepEqual(pointTexts({ baseline: 0 }, { point: 1, values: { "a.b": 2 }, figures: { f } }, "f"),
        { values: "a.b = 2", mean: "72.53", sd: f.n > 1 ? "0.25" : "–", difference: change, interval, verdict });
    assert.equal(pointTexts({ baseline: 1 }, { point: 1, values: {}, figures: { f: figure(null) } }, "f").verdict,
      "the baseline");
    assert.equal(valuesText({ model: "resnet8", losses: [{ kind: "ce" }] }), "model = resnet8, losses = [{\"kind\":\"ce\"}]");
    assert.equal(valuesText({}), "as submitted");
    assert.equal(progressText({ total: 1000000, done: 2, running: 1, queued: 0, failed: 1, cancelled: 0 }),
      "2 of 1,000,000 jobs done · 1 running · 1 failed");
  },

  "a sweep has a page of its own, and its jobs stand there"() {
    assert.equal(pageOf({ id: "x", sweep: { total: 4 } }), "#/sweeps/x");
    assert.equal(pageOf({ id: "x", sweep: { parent: "y" } }), "#/jobs/x");
    assert.equal(pageOf({ id: "x" }), "#/jobs/x");
    assert.deepEqual([{ parent: "y" }, { total: 1 }, null].map((sweep) => isOfSweep({ sweep })), [true, false, false]);
  },
};

console.log(`TEST_SEED=${seed}`);
for (const [name, run] of Object.entries(tests)) {
  run();
  console.log(`ok: ${name}`);
}
