/* Headless Chromium, and what a page may not do in it: complain in the console, break its policy, or
 * speak to anyone but its daemon. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { PATIENCE_MS } from "./service.mjs";

const { chromium } = createRequire(`${process.env.builddir}/tests/web/npm/`)("playwright-core");
const UNREACHABLE = /^Failed to load resource: net::ERR_/;

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
}

/* One reader with cookies of their own. */
export class Reader {
  static async open(browser, address) {
    const reader = new Reader();
    const context = await browser.newContext({ viewport: { width: 1000, height: 600 }, reducedMotion: "reduce" });

    context.setDefaultTimeout(PATIENCE_MS);
    Object.assign(reader, { context, address, errors: [], violations: [], strangers: [], outage: false });
    context.on("console", (message) => message.type() === "error" && reader.complain(message.text()));
    context.on("weberror", (error) => reader.complain(String(error.error())));
    context.on("request", (request) => {
      if (!/^data:/.test(request.url()) && new URL(request.url()).origin !== address)
        reader.strangers.push(request.url());
    });
    await context.exposeFunction("tellViolation", (text) => reader.violations.push(text));
    await context.addInitScript(() => addEventListener("securitypolicyviolation", (event) =>
      window.tellViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`)));
    return reader;
  }

  complain(text) {
    if (!(this.outage && UNREACHABLE.test(text)))
      this.errors.push(text);
  }

  async visit(address = `${this.address}/`) {
    const page = await this.context.newPage();

    await page.goto(address);
    return page;
  }

  /* `refusals`: how often the daemon was right to answer 401; `removed`: whether a job was that was just being read. */
  async leave({ refusals = 0, removed = false } = {}) {
    await this.context.close();
    assert.deepEqual(this.violations, [], "violations of the content security policy");
    assert.deepEqual(this.strangers, [], "requests to other hosts");
    const is401 = (text) => /status of 401/.test(text);
    const is410 = (text) => removed && /status of 410/.test(text);
    assert.deepEqual(this.errors.filter((text) => !is401(text) && !is410(text)), [], "errors in the console");
    assert.equal(this.errors.filter(is401).length, refusals, "answers with the status 401");
  }
}
