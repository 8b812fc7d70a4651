// Brush and eraser. A stroke is drawn at once and sent when it ends; what is then shown is what the server keeps.
// Nothing of it may be left behind: who saves or leaves waits until all is sent (`settled`).

import { post } from "./api.js";

const LEAST_STEP = 0.2; // voxels between two points of a stroke
const MOST_POINTS = 3500;
const round = (value) => Math.round(value * 100) / 100;

export class CorrectionTool {
  constructor(state, send, refresh) {
    this.state = state;
    this.send = send; // send(path, body): posts and shows whether it was saved
    this.refresh = refresh;
    this.stroke = null;
    this.pointer = null;
    this.drawing = null; // the stroke under the hand, which is not sent yet
    this.queue = Promise.resolve();
    this.waiting = 0; // edits that are on their way
    this.failed = 0;
    this.lost = false; // the last edit failed, and nothing was painted since
    this.locked = false; // nothing can be begun: the page is about to be left
    state.marks.push((view, pen) => this.draw(view, pen));
  }

  hover(view, place = null) {
    const before = this.pointer?.view;
    this.pointer = view ? { view, place } : null;
    if (!this.painting()) return;
    before?.draw();
    if (view && view !== before) view.draw();
  }

  painting() {
    return this.state.tool === "brush" || this.state.tool === "eraser";
  }

  drag(view) {
    if (this.state.facts.final || this.locked) return {};
    const add = (x, y) => {
      const [column, row] = view.toVoxel(x, y).map(round);
      const points = this.drawing?.points;
      if (!points) return;
      const last = points[points.length - 1];
      if (last && Math.hypot(column - last[0], row - last[1]) < LEAST_STEP) return;
      if (points.length < MOST_POINTS) points.push([column, row]);
      view.draw();
    };
    return {
      begin: (x, y) => {
        this.stroke = this.drawing = this.newStroke(view, []);
        add(x, y);
      },
      move: add,
      end: () => this.endStroke(),
    };
  }

  endStroke() {
    const { drawing } = this;
    this.drawing = null;
    if (drawing) this.paint(drawing);
  }

  // Paints once where the crosshair is: the brush without a mouse.
  dab(view) {
    this.stroke = this.newStroke(view, [view.cross]);
    this.paint(this.stroke);
  }

  // A stroke is on the slice that the reader sees as it begins: the next one may be on its way, and come under the hand.
  newStroke(view, points) {
    const { state } = this;
    const tool = { radius_mm: state.brushMm, code: state.code, erase: state.tool === "eraser" };
    return { view, plane: view.plane.name, index: view.shown, points, ...tool };
  }

  paint(drawn) {
    const { state } = this;
    const { view, ...stroke } = drawn;
    this.inTurn(async () => {
      if (!state.edit.base) await this.begun(state.layer);
      state.layer = "corrected";
      await this.edit({ action: "paint", stroke });
    }).finally(() => {
      if (this.stroke === drawn) this.stroke = null;
      view.draw();
    });
  }

  undo() {
    return this.inTurn(() => this.edit({ action: "undo" }));
  }

  redo() {
    return this.inTurn(() => this.edit({ action: "redo" }));
  }

  begin(candidate) {
    return this.inTurn(() => this.beginFrom(candidate));
  }

  async beginFrom(candidate) {
    await this.begun(candidate);
    this.state.tell("slices");
  }

  async begun(candidate) {
    this.state.edit = await this.send("begin", { candidate, revision: this.state.edit.revision });
    this.state.layer = "corrected";
  }

  async edit(what) {
    const answer = await this.send("edit", { ...what, revision: this.state.edit.revision });
    this.state.edit = answer;
    if (what.action !== "paint") this.goTo(answer);
    await this.refresh();
  }

  goTo({ plane, index }) {
    const cursor = [...this.state.cursor];
    cursor[this.state.facts.planes[plane].axis] = index;
    this.state.moveTo(cursor);
  }

  // One after the other: each edit says how many came before it. Where one fails, those that wait are dropped: they
  // were painted on what is not there, and to undo would take back another stroke.
  inTurn(act) {
    if (this.locked) return this.queue;
    const { failed } = this;
    this.waiting += 1;
    this.queue = this.queue.then(async () => {
      if (failed !== this.failed) return;
      await act();
      this.lost = false;
    }).catch(() => { // the message is shown by send
      this.failed += 1;
      this.lost = true;
    }).finally(() => {
      this.waiting -= 1;
      this.state.tell("panel");
    });
    return this.queue;
  }

  get unsent() {
    return Boolean(this.drawing || this.waiting);
  }

  // Lets nothing more begin, waits until nothing is unsent, and says whether all was kept; what was lost is said once.
  async settled() {
    this.endStroke();
    this.locked = true;
    while (this.waiting) await this.queue;
    const { lost } = this;
    this.lost = false;
    return !lost;
  }

  draw(view, pen) {
    if (this.stroke?.view === view && this.stroke.index === view.shown) this.drawStroke(view, pen);
    if (this.painting() && this.pointer?.view === view) this.ring(view, pen, this.pointer.place);
  }

  drawStroke(view, pen) {
    const { points, radius_mm: radiusMm, code, erase } = this.stroke;
    const pages = points.map((point) => view.toPage(point));
    pen.save();
    pen.globalAlpha = 0.6;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = 2 * radiusMm * view.frame.scale;
    pen.strokeStyle = erase ? "#fff" : this.state.structures.find((one) => one.code === code).css;
    pen.beginPath();
    pen.moveTo(...pages[0]);
    for (const page of [...pages.slice(1), pages[pages.length - 1]]) pen.lineTo(...page);
    pen.stroke();
    pen.restore();
  }

  ring(view, pen, [x, y]) {
    pen.save();
    pen.strokeStyle = this.state.tool === "eraser" ? "#fff" : this.state.structure().css;
    pen.lineWidth = 1.5;
    pen.setLineDash(this.state.tool === "eraser" ? [4, 3] : []);
    pen.beginPath();
    pen.arc(x, y, Math.max(this.state.brushMm * view.frame.scale, 2), 0, 2 * Math.PI);
    pen.stroke();
    pen.restore();
  }
}
