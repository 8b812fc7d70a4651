// Counts the time that is really spent on a case: it stops while the page is hidden and after a minute without a hand
// on mouse or keyboard, and is told to the server now and then and when the page is left.

const IDLE_MS = 60000;
const TICK_MS = 1000;
const TELL_EVERY = 15;

export class Clock {
  constructor(tell, show) {
    this.tell = tell; // tell(keepalive)
    this.show = show;
    this.activeMs = 0;
    this.last = performance.now();
    this.touched = this.last;
    this.ticks = 0;
    for (const what of ["pointerdown", "pointermove", "wheel", "keydown"]) {
      addEventListener(what, () => { this.touched = performance.now(); }, { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => {
      this.count();
      if (document.hidden) this.tell(true);
    });
    addEventListener("pagehide", () => this.tell(true));
    setInterval(() => this.tick(), TICK_MS);
  }

  get running() {
    return !document.hidden && performance.now() - this.touched < IDLE_MS;
  }

  get seconds() {
    this.count();
    return Math.round(this.activeMs / 100) / 10;
  }

  // A hidden page is woken seldom: what lies between two looks counts only if both saw the page.
  count() {
    const now = performance.now();
    const running = this.running;
    if (running && this.wasRunning !== false) this.activeMs += now - this.last;
    this.wasRunning = running;
    this.last = now;
  }

  tick() {
    this.count();
    this.show(this.running);
    this.ticks += 1;
    if (this.ticks % TELL_EVERY === 0 && this.running) this.tell(false);
  }
}
