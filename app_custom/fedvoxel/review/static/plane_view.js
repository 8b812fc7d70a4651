// One of the three planes: fetches what it shows, and draws it on a plain 2-D canvas; no GPU is needed.

const OUTLINE_PX = 1.75;

export class PlaneView {
  constructor(pane, plane, state, slices) {
    this.pane = pane;
    this.canvas = pane.querySelector("canvas");
    this.plane = plane;
    this.state = state;
    this.slices = slices;
    this.axes = [0, 1, 2].filter((axis) => axis !== plane.axis); // across, down
    this.voxelMm = [Math.sqrt(plane.metric_mm2[0]), Math.sqrt(plane.metric_mm2[2])];
    this.zoom = 1;
    this.pan = [0, 0];
    this.parts = null;
    this.asked = 0;
    this.due = false;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  get index() {
    return this.state.cursor[this.plane.axis];
  }

  // The slice whose picture is there; another may have been asked for already.
  get shown() {
    return this.parts?.index ?? this.index;
  }

  // Pixels of the page for each voxel across and down, and where the slice's corner is.
  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const size = [this.plane.columns * this.voxelMm[0], this.plane.rows * this.voxelMm[1]];
    const scale = Math.min(width / size[0], height / size[1]) * this.zoom;
    const step = this.voxelMm.map((mm) => mm * scale);
    const corner = [width / 2 - size[0] * scale / 2 + this.pan[0], height / 2 - size[1] * scale / 2 + this.pan[1]];
    return { step, corner, scale };
  }

  toVoxel(x, y) {
    const { step, corner } = this.frame;
    return [(x - corner[0]) / step[0], (y - corner[1]) / step[1]];
  }

  toPage([column, row]) {
    const { step, corner } = this.frame;
    return [corner[0] + column * step[0], corner[1] + row * step[1]];
  }

  // Where the crosshair is on this slice: the middle of its voxel.
  get cross() {
    const [across, down] = this.axes.map((axis) => this.state.cursor[axis]);
    return [this.plane.columns - across - 0.5, this.plane.rows - down - 0.5];
  }

  zoomAt(factor, x, y) {
    const before = this.toVoxel(x, y);
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), 40);
    const after = this.toPage(before);
    this.pan = [this.pan[0] + x - after[0], this.pan[1] + y - after[1]];
    this.draw();
  }

  reset() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.draw();
  }

  // Fetches what the state asks for; the old picture stays until all of the new one is there.
  async refresh() {
    const ticket = this.asked += 1;
    const parts = await this.fetched(this.index);
    if (ticket !== this.asked) return;
    this.parts = parts;
    this.draw();
    if (this.state.ready) this.prefetch();
  }

  async fetched(index) {
    const { state, plane, slices } = this;
    const label = (name) => name && slices.label(name, plane, index, state.revisionOf(name));
    const [image, main, second, heat] = await Promise.all([
      slices.image(plane.name, index, state.window),
      label(state.overlay === "off" ? null : state.layer),
      label(state.overlay === "off" ? null : state.second),
      state.heat && slices.heat(plane.name, index),
    ]);
    return { index, image, main, second, heat };
  }

  // One slice after another, and none once something else is asked for: what the reader waits for goes first.
  async prefetch() {
    const ticket = this.asked;
    for (const step of [1, -1, 2, -2]) {
      const index = this.index + step;
      if (index >= 0 && index < this.plane.slices) await this.fetched(index).catch(() => {});
      if (ticket !== this.asked) return;
    }
  }

  // Once in the next frame, however many ask: a stroke's points come faster than a machine without a GPU draws.
  draw() {
    if (this.due || !this.parts) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.drawNow();
    });
  }

  drawNow() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) [this.canvas.width, this.canvas.height] = [wide, high];
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    this.drawPicture(pen, this.parts.image, 1);
    if (this.parts.heat) this.drawPicture(pen, this.parts.heat, Math.min(1, 0.3 + 1.4 * this.state.opacity));
    this.drawLabels(pen);
    this.drawCross(pen, width, height);
    for (const mark of this.state.marks) mark(this, pen);
    this.canvas.dataset.drawn = `${this.parts.index}`;
  }

  drawPicture(pen, picture, opacity) {
    const { step, corner } = this.frame;
    pen.save();
    pen.globalAlpha = opacity;
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, corner[0], corner[1], this.plane.columns * step[0], this.plane.rows * step[1]);
    pen.restore();
  }

  drawLabels(pen) {
    const { main, second } = this.parts;
    if (main && this.state.overlay === "fill") this.fill(pen, main);
    if (main) this.stroke(pen, main, []);
    if (second) this.stroke(pen, second, [6, 4]);
  }

  fill(pen, label) {
    const { step, corner } = this.frame;
    pen.save();
    pen.globalAlpha = this.state.opacity;
    pen.translate(...corner);
    pen.scale(...step);
    for (const structure of this.state.visible()) {
      const path = label.outline(structure.code);
      pen.fillStyle = structure.css;
      if (path) pen.fill(path, "evenodd");
    }
    pen.restore();
  }

  stroke(pen, label, dashes) {
    const { step, corner } = this.frame;
    const place = new DOMMatrix([step[0], 0, 0, step[1], ...corner]);
    pen.save();
    pen.lineJoin = "round";
    pen.setLineDash(dashes);
    for (const structure of this.state.visible()) {
      const path = label.outline(structure.code);
      if (!path) continue;
      const placed = new Path2D();
      placed.addPath(path, place);
      pen.strokeStyle = "rgb(0 0 0 / 55%)"; // a dark rim keeps the line readable on bright tissue
      pen.lineWidth = OUTLINE_PX + 1.5;
      pen.stroke(placed);
      pen.strokeStyle = structure.css;
      pen.lineWidth = OUTLINE_PX;
      pen.stroke(placed);
    }
    pen.restore();
  }

  drawCross(pen, width, height) {
    if (!this.state.showCross) return;
    const [x, y] = this.toPage(this.cross);
    const gap = 12;
    pen.save();
    pen.strokeStyle = "rgb(120 200 255 / 70%)";
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [from, to] of [[[0, y], [x - gap, y]], [[x + gap, y], [width, y]], [[x, 0], [x, y - gap]], [[x, y + gap], [x, height]]]) {
      pen.moveTo(...from);
      pen.lineTo(...to);
    }
    pen.stroke();
    pen.restore();
  }
}
