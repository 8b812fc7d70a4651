// What is looked at and how: one object that all parts of the page share, and that tells them when it changes.

export class ReadingState {
  constructor(facts) {
    this.facts = facts;
    this.structures = facts.structures.map((one) => ({ ...one, css: `rgb(${one.colour.join(" ")})`, shown: true }));
    this.edit = facts.edit;
    this.layer = this.edit.base ? "corrected" : facts.candidates[0];
    this.second = null;
    this.preset = 0;
    this.window = { low: facts.presets[0].low, high: facts.presets[0].high };
    this.overlay = "outline";
    this.opacity = 0.4;
    this.heat = false;
    this.showCross = true;
    this.tool = "navigate";
    this.brushMm = 3;
    this.code = 1;
    this.active = "axial";
    this.measured = facts.measured;
    this.marks = []; // functions that draw on top of a plane
    this.ready = false;
    this.heard = [];
    this.cursor = [0, 0, 0];
    const largest = facts.largest[this.edit.base ?? facts.candidates[0]];
    for (const [name, plane] of Object.entries(facts.planes)) this.cursor[plane.axis] = largest[name];
  }

  // "slices": something else is to be fetched; "look": the same is drawn anew; "panel": the controls show the change.
  on(what, act) {
    this.heard.push([what, act]);
  }

  tell(...changes) {
    for (const [what, act] of this.heard) if (changes.includes(what)) act();
  }

  visible() {
    return this.structures.filter((one) => one.shown);
  }

  structure() {
    return this.structures.find((one) => one.code === this.code);
  }

  // Which label map a name of the page stands for right now; a correction is another with every edit.
  revisionOf(name) {
    return name === "corrected" ? this.edit.revision : 0;
  }

  // The label maps that can be looked at: the candidates, and the reader's own correction of one of them.
  layers() {
    return this.edit.base ? [...this.facts.candidates, "corrected"] : this.facts.candidates;
  }

  volumes() {
    return this.layer === "corrected" ? this.edit.volumes_ml : this.facts.volumes_ml[this.layer];
  }

  moveTo(cursor) {
    const sizes = Object.values(this.facts.planes).reduce((found, plane) => { found[plane.axis] = plane.slices; return found; }, []);
    const next = cursor.map((at, axis) => Math.min(Math.max(Math.round(at), 0), sizes[axis] - 1));
    if (next.every((at, axis) => at === this.cursor[axis])) return;
    this.cursor = next;
    this.tell("slices");
  }

  scroll(plane, steps) {
    const next = [...this.cursor];
    next[plane.axis] += steps;
    this.moveTo(next);
  }

  setWindow(low, high, preset = null) {
    if (!(low < high)) return;
    this.window = { low: round(low), high: round(high) };
    this.preset = preset;
    this.tell("slices", "panel");
  }

  choosePreset(place) {
    const preset = this.facts.presets[place];
    this.setWindow(preset.low, preset.high, place);
  }
}

// Four digits are more than an eye can tell, and fewer pictures to fetch.
function round(value) {
  return Number(value.toPrecision(4));
}
