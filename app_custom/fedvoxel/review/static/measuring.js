// Distances in millimetres: drawn while the mouse moves, worked out and kept by the server.

export class MeasuringTool {
  constructor(state, send) {
    this.state = state;
    this.send = send;
    this.line = null;
    state.marks.push((view, pen) => this.draw(view, pen));
  }

  drag(view) {
    return {
      begin: (x, y) => {
        const start = view.toVoxel(x, y);
        this.line = { plane: view.plane.name, index: view.index, start, end: start };
      },
      move: (x, y) => {
        this.line.end = view.toVoxel(x, y);
        view.draw();
      },
      end: () => this.keep(this.line),
    };
  }

  // The keyboard's way: first press sets the start at the crosshair, the second the end.
  point(view) {
    const started = this.line?.plane === view.plane.name && this.line.index === view.index;
    if (!started) {
      this.line = { plane: view.plane.name, index: view.index, start: view.cross, end: view.cross };
      view.draw();
      return;
    }
    this.keep({ ...this.line, end: view.cross });
  }

  async keep(line) {
    this.line = null;
    const length = Math.hypot(line.end[0] - line.start[0], line.end[1] - line.start[1]);
    if (length > 0.3) this.state.measured = await this.send("measure", line);
    this.state.tell("look", "panel");
  }

  async remove() {
    if (!this.state.measured.length) return;
    this.state.measured = await this.send("unmeasure");
    this.state.tell("look", "panel");
  }

  draw(view, pen) {
    const here = (line) => line.plane === view.plane.name && line.index === view.parts.index;
    for (const line of this.state.measured.filter(here)) this.drawLine(view, pen, line, `${line.length_mm.toFixed(1)} mm`);
    if (this.line && here(this.line)) this.drawLine(view, pen, this.line, "");
  }

  drawLine(view, pen, line, text) {
    const [start, end] = [view.toPage(line.start), view.toPage(line.end)];
    pen.save();
    for (const [width, colour] of [[3.5, "rgb(0 0 0 / 60%)"], [1.5, "#ffe08a"]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(...start);
      pen.lineTo(...end);
      for (const [x, y] of [start, end]) {
        pen.moveTo(x + 3, y);
        pen.arc(x, y, 3, 0, 2 * Math.PI);
      }
      pen.stroke();
    }
    pen.font = "600 13px system-ui, sans-serif";
    pen.lineWidth = 4;
    pen.strokeStyle = "rgb(0 0 0 / 80%)";
    pen.strokeText(text, end[0] + 8, end[1] + 4);
    pen.fillStyle = "#ffe08a";
    pen.fillText(text, end[0] + 8, end[1] + 4);
    pen.restore();
  }
}
