/* Draws soon after it is asked to, however often that is: not more than five times a second, not in a
 * hidden tab, and for at most about a tenth of the time where there is much to draw. */
const LEAST_MS = 200;

export class Pace {
  constructor(draw) {
    this.draw = draw;
    this.pause = LEAST_MS;
    this.timer = null;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }

  soon() {
    this.timer ??= setTimeout(() => requestAnimationFrame(() => this.run()), this.pause);
  }

  run() {
    const began = performance.now();

    this.timer = null;
    if (this.closed)
      return;
    this.draw();
    this.pause = Math.max(LEAST_MS, 9 * (performance.now() - began));
  }
}
