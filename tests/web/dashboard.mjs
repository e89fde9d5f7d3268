/* The dashboard as a reader has it: a job of two ranks is followed live, through a kill of the daemon, to
 * its end, and what is drawn is what the API gives. */
import assert from "node:assert/strict";

import { launch, Reader } from "./browser.mjs";
import { Service, until } from "./service.mjs";

const DATA = { source: "procedural:classes=4,train=256,test=64,seed=3" };
const TEACHER = { kind: "train", data: DATA, student: { model: "resnet14" },
  train: { epochs: 1, batch: 64, max_steps: 2 } };
const STUDENT = { kind: "distill", data: DATA, student: { model: "resnet8" },
  losses: [{ kind: "ce" }, { kind: "kd", ramp_epochs: 2 }, { kind: "nd", weight: 2 }],
  train: { epochs: 24, batch: 16, lanes: 2 }, resources: { ranks: 2 } };

const LOSS = "train loss/total";

const service = new Service(process.env.builddir, process.argv[2]);

/* What the page draws: every point of every figure, by series, gaps left out. A figure holds all steps
 * of its series, so a point whose value is null cannot be told from a gap. */
function drawn(page) {
  return page.evaluate(() => Object.fromEntries([...document.querySelectorAll("figure")].flatMap((f) =>
    f.keys.map((key, i) => [key, f.plot.data[0].map((step, k) => [step, f.plot.data[i + 1][k]])
      .filter(([, value]) => value !== null)]))));
}

async function lossPoints(page) {
  return (await drawn(page))[LOSS]?.length ?? 0;
}

async function measured(id) {
  const { series } = await service.get(`/jobs/${id}/metrics/series`);

  return Object.fromEntries(series.map((s) => [`${s.split} ${s.name}`,
    s.points.filter(([, value]) => value !== null)]));
}

async function drawsAllOf(page, id) {
  const expected = await measured(id);
  const points = Object.values(expected).reduce((n, list) => n + list.length, 0);

  await until("the last points of the curves", async () =>
    Object.values(await drawn(page)).reduce((n, list) => n + list.length, 0) === points).catch(() => {});
  assert.deepEqual(await drawn(page), expected);
  return points;
}

function badge(page, status) {
  return page.waitForSelector(`#badge[data-status="${status}"]`);
}

function chip(page, state) {
  return page.waitForSelector(`.title .chip[data-state="${state}"]`);
}

async function open(browser) {
  const reader = await Reader.open(browser, service.address);
  const page = await reader.visit(await service.ctl("dashboard"));

  await badge(page, "live");
  await page.getByText("No jobs yet").waitFor();
  assert.equal(page.url(), `${service.address}/`, "the token is out of the address");
  const cookies = await reader.context.cookies();
  assert.deepEqual(cookies.map((c) => [c.name, c.httpOnly, c.sameSite]), [[`distilld_session_${new URL(service.address).port}`, true, "Strict"]]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  await page.evaluate(() => { window.untouched = true; });
  return { reader, page };
}

/* Lets the job run until it has more than so many points of the loss, and an estimate of its end. */
async function runBeyond(id, points) {
  service.signalRanks(id, "SIGCONT");
  await until("progress of the job", async () =>
    (await measured(id))[LOSS]?.length > points && (await service.job(id)).progress.eta_s !== null);
  service.signalRanks(id, "SIGSTOP");
}

async function seeItRun(page, id) {
  await runBeyond(id, 2);
  await page.getByRole("link", { name: "student" }).click();
  const early = await until("points", () => lossPoints(page));
  await page.waitForFunction(() => /step \d+ of \d+.*ETA \d/s.test(document.querySelector(".run-text").textContent));
  await runBeyond(id, early);
  await until("more points", async () => await lossPoints(page) > early);
}

async function checkpoints(id) {
  return (await service.get(`/jobs/${id}/checkpoints`)).items.map((c) => c.name);
}

/* It does so as soon as it goes on. */
async function letItWriteACheckpoint(page, id) {
  const before = await checkpoints(id);

  await press(page, "Checkpoint");
  service.signalRanks(id, "SIGCONT");
  await until("a checkpoint", async () => (await checkpoints(id)).some((name) => !before.includes(name)));
  service.signalRanks(id, "SIGSTOP");
}

function press(page, name) {
  page.once("dialog", (dialog) => dialog.accept());
  return page.getByRole("button", { name }).click();
}

async function cancel(page) {
  await press(page, "Cancel");
  await chip(page, "cancelled");
  await page.getByRole("button", { name: "Run again" }).waitFor();
}

async function submissions() {
  return (await service.get("/jobs")).items.length;
}

/* The daemon has made the job, but the page does not hear of it. */
async function loseAnswer(reader, page) {
  const before = await submissions();

  reader.outage = true;
  await page.route("**/*:clone", async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await press(page, "Submit again");
  await page.getByText("The daemon does not answer").waitFor();
  assert.equal(await submissions(), before + 1);
  reader.outage = false;
}

/* The page of the new job is shown, which is one, though its answer was lost at first; removed, it is in the list no
 * more. */
async function cloneAndRemove(reader, page, id) {
  const before = await submissions();

  await loseAnswer(reader, page);
  await press(page, "Submit again");
  await page.waitForURL((url) => !url.hash.endsWith(id));
  const clone = page.url().split("/").at(-1);
  assert.equal((await service.job(clone)).cloned_from, id);
  assert.equal(await submissions(), before + 1);
  await cancel(page);
  assert.equal(await page.getByRole("button", { name: "Checkpoint" }).isVisible(), false);
  await press(page, "Remove");
  await page.waitForURL(`${service.address}/#/`);
  await page.getByRole("link", { name: "unwanted" }).nth(1).waitFor({ state: "detached" });
  await assert.rejects(service.job(clone), /410/);
}

/* In a second tab: the third job is cancelled before its turn comes, the second one waits. */
async function cancelAndSeeWait(reader, unwanted, id) {
  const page = await reader.visit(`${service.address}/#/jobs/${unwanted}`);

  await cancel(page);
  await cloneAndRemove(reader, page, unwanted);

  await page.goto(`${service.address}/#/jobs/${id}`);
  await chip(page, "queued");
  await page.getByText("Why it waits").waitFor();
  await page.getByText((await service.job(id)).reason.message).waitFor();
  return page;
}

async function killAndStart(reader, pages, id) {
  assert.equal((await service.job(id)).state, "running");
  reader.outage = true;
  await service.kill();
  await Promise.all(pages.map((page) => badge(page, "stale")));
  const before = await lossPoints(pages[0]);
  await service.start();
  await Promise.all(pages.map((page) => badge(page, "live")));
  reader.outage = false;
  service.signalRanks(id, "SIGCONT");
  await until("points after the restart", async () => await lossPoints(pages[0]) > before);
}

async function seeItSucceed(page, id) {
  await chip(page, "succeeded");
  const points = await drawsAllOf(page, id);
  const steps = (await service.job(id)).progress.total_steps;
  assert.equal(await lossPoints(page), steps, "a point of the loss for every step");
  await page.getByText("100 %").waitFor();
  assert.equal(await page.evaluate(() => window.untouched), true, "the page was not loaded again");
  console.log(`ok: ${points} points of a job of ${steps} steps, through a kill of the daemon`);
}

async function seeItFail(page, id) {
  await chip(page, "failed");
  const { reason } = await service.job(id);
  assert.match(reason.message, /diverged/);
  await page.getByText("Why it failed").waitFor();
  await page.getByText(reason.message).first().waitFor();
  await drawsAllOf(page, id);
  console.log("ok: a waiting job tells why, a failed one too, and a loss that is no number is a gap");
}

/* The student stands under its teacher, which its job knew as a file: the tensors are the same. */
async function seeModels(page, weights, student) {
  await service.ctl("models", "add", "large", weights);
  await service.ctl("models", "add", "small", "--job", student);
  await page.getByRole("link", { name: "Models" }).click();
  const rows = page.getByRole("row");
  await rows.filter({ hasText: "small@1" }).filter({ hasText: "large@1" }).waitFor();
  assert.deepEqual(await page.getByRole("rowheader").getByRole("link").allTextContents(), ["large@1", "small@1"]);
  console.log("ok: models, students under their teachers");
}

async function follow(reader, page, waiting, weights, student, diverging) {
  await seeItSucceed(page, student);
  await seeItFail(waiting, diverging);
  await page.goto(`${service.address}/#/`);
  await page.getByText("1 failed · 1 cancelled · 1 succeeded").waitFor();
  await seeModels(page, weights, student);
  await reader.leave({ removed: true });
}

async function signIn(browser) {
  const reader = await Reader.open(browser, service.address);
  const page = await reader.visit();

  await page.getByLabel("Access token").fill("dst_wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This token is not accepted.").waitFor();
  assert.deepEqual(await reader.context.cookies(), []);
  await page.getByLabel("Access token").fill(service.token);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "student" }).waitFor();
  await badge(page, "live");
  await reader.leave({ refusals: 2 });
  console.log("ok: a browser without a session signs in, with the right token only");
}

/* Where `make web` was not run. */
async function withoutCharts(browser) {
  const reader = await Reader.open(browser, service.address);

  await reader.context.route("**/api/v1/version", (route) => route.fulfill({ json: { charts: false } }));
  await reader.context.route("**/vendor/**", (route) => assert.fail(route.request().url()));
  const page = await reader.visit(await service.ctl("dashboard"));
  await page.getByRole("link", { name: "student" }).click();
  await page.getByRole("row", { name: "total" }).waitFor();
  await reader.leave();
  console.log("ok: tables where there are no charts");
}

/* That the reader above would notice: a page with a script of its own. */
async function inlineScript(browser) {
  const reader = await Reader.open(browser, service.address);

  await reader.context.route(`${service.address}/`, async (route) => {
    const response = await route.fetch();

    await route.fulfill({ response,
      body: (await response.text()).replace("</head>", "<script>window.inline = true</script></head>") });
  });
  const page = await reader.visit(await service.ctl("dashboard"));
  await badge(page, "live");
  assert.equal(await page.evaluate(() => window.inline), undefined);
  await assert.rejects(reader.leave(), /violations of the content security policy/);
  console.log("ok: an inline script does not run, and is noticed");
}

/* The figures of the page are those of the summary, and come without a reload. */
async function seeSweep(browser) {
  const reader = await Reader.open(browser, service.address);
  const page = await reader.visit(await service.ctl("dashboard"));
  const id = await service.submit("rates", { ...TEACHER, student: { model: "resnet8" }, sweep: { seeds: [1, 2],
    grid: [{ field: "optimizer.lr", values: [0.1, 0.02] }] } });

  await page.getByRole("link", { name: "rates" }).click();
  await page.getByRole("row", { name: "optimizer.lr = 0.1" }).first().waitFor();
  await page.evaluate(() => { window.untouched = true; });
  await chip(page, "succeeded");
  const { items } = await service.get(`/jobs/${id}/summary`);
  await page.getByText("4 of 4 jobs done").waitFor();
  await page.getByText("one seed").first().waitFor({ state: "hidden" });
  const figure = (item) => item.figures["final.top1"].mean;
  await until("the means of the summary", async () => JSON.stringify(await page.evaluate(() =>
    [...document.querySelector("table").querySelectorAll("tbody tr")].map((tr) => Number(tr.children[2].textContent)))) ===
    JSON.stringify(items.map((item) => Number(figure(item).toPrecision(4)))));
  assert.equal(await page.evaluate(() => window.untouched), true, "the page was not loaded again");
  await page.getByRole("link", { name: "seed 2" }).first().click();
  await page.getByRole("link", { name: "its sweep" }).waitFor();
  await page.goto(`${service.address}/#/jobs/${id}`);
  await page.waitForURL(`${service.address}/#/sweeps/${id}`);
  await reader.leave();
  console.log("ok: a sweep shows its points as they come");
}

async function all(browser, weights) {
  const { reader, page } = await open(browser);
  const spec = { ...STUDENT, teacher: { model: "resnet14", weights } };
  const student = await service.submit("student", spec);
  const diverging = await service.submit("diverging", { ...spec, optimizer: { lr: 1e6 } });
  const unwanted = await service.submit("unwanted", spec);

  await seeItRun(page, student);
  await letItWriteACheckpoint(page, student);
  const waiting = await cancelAndSeeWait(reader, unwanted, diverging);
  await killAndStart(reader, [page, waiting], student);
  await Promise.all([follow(reader, page, waiting, weights, student, diverging), signIn(browser),
    withoutCharts(browser), inlineScript(browser)]);
  await seeSweep(browser);
}

const [browser, weights] = await Promise.all([launch(), service.train("teacher", TEACHER), service.start()]);
try {
  await all(browser, weights);
} finally {
  await browser.close();
  await service.stop();
}
