// The controls beside the picture: windows, overlay, structures, tools. They show the state, and change nothing else.

import { capital, element, millilitres } from "./words.js";

const byId = (id) => document.getElementById(id);

export class Panel {
  constructor(state, correction, measuring) {
    this.state = state;
    this.correction = correction;
    this.measuring = measuring;
    this.buildWindow();
    this.buildOverlay();
    this.buildStructures();
    this.buildTools();
    state.on("panel", () => this.show());
    this.show();
  }

  buildWindow() {
    const { state } = this;
    byId("preset").append(...state.facts.presets.map((preset, place) => element("option", { value: place }, preset.name)), element("option", { value: "own", hidden: true }, "Own"));
    byId("preset").addEventListener("change", (event) => state.choosePreset(Number(event.target.value)));
    const typed = () => {
      const [centre, width] = [byId("centre").valueAsNumber, byId("width").valueAsNumber];
      if (width > 0) state.setWindow(centre - width / 2, centre + width / 2);
    };
    byId("centre").addEventListener("change", typed);
    byId("width").addEventListener("change", typed);
  }

  buildOverlay() {
    const { state } = this;
    for (const radio of document.querySelectorAll("input[name=overlay]")) {
      radio.addEventListener("change", () => this.set({ overlay: radio.value }));
    }
    byId("opacity").addEventListener("input", (event) => this.set({ opacity: event.target.valueAsNumber / 100 }));
    byId("heat").addEventListener("change", (event) => this.set({ heat: event.target.checked }));
    byId("cross").addEventListener("change", (event) => this.set({ showCross: event.target.checked }));
    byId("heat-row").hidden = !state.facts.uncertainty;
    byId("both").addEventListener("change", () => this.toggleBoth());
  }

  set(change) {
    Object.assign(this.state, change);
    this.state.tell("slices", "look", "panel");
  }

  buildLayers() {
    const { state } = this;
    byId("layers").replaceChildren(...state.layers().map((name) => {
      const label = name === "corrected" ? "Corrected" : capital(name);
      const button = element("button", { type: "button", "aria-pressed": String(name === state.layer) }, label);
      button.addEventListener("click", () => this.set({ layer: name, second: state.second === name ? null : state.second }));
      return button;
    }));
    byId("both-row").hidden = state.layers().length < 2;
    byId("both").checked = Boolean(state.second);
  }

  nextLayer() {
    const names = this.state.layers();
    this.set({ layer: names[(names.indexOf(this.state.layer) + 1) % names.length], second: null });
  }

  // Another label map as dashed lines: the candidate that a correction came from, or the next one.
  toggleBoth() {
    const { state } = this;
    const others = state.layers().filter((name) => name !== state.layer);
    const from = state.layer === "corrected" ? state.edit.base : others[0];
    this.set({ second: state.second || !others.length ? null : from });
  }

  buildStructures() {
    const { state } = this;
    byId("structures").append(...state.structures.map((one) => {
      const shown = element("input", { type: "checkbox", "aria-label": `Show ${one.label}` });
      shown.checked = true;
      shown.addEventListener("change", () => {
        one.shown = shown.checked;
        state.tell("look");
      });
      const radio = element("input", { type: "radio", name: "structure", value: one.code, id: `structure-${one.code}` });
      radio.addEventListener("change", () => this.set({ code: one.code }));
      const chip = element("span", { class: "chip" });
      chip.style.background = one.css;
      const label = element("label", { for: radio.id }, chip, element("span", { title: one.label }, one.label));
      return element("li", {}, shown, radio, label, element("span", { class: "volume", "data-code": one.code }));
    }));
  }

  buildTools() {
    const { state } = this;
    for (const button of document.querySelectorAll("button[data-tool]")) {
      button.addEventListener("click", () => this.set({ tool: button.dataset.tool }));
    }
    byId("size").addEventListener("input", (event) => this.set({ brushMm: event.target.valueAsNumber / 2 }));
    byId("undo").addEventListener("click", () => this.correction.undo());
    byId("redo").addEventListener("click", () => this.correction.redo());
    byId("unmeasure").addEventListener("click", () => this.measuring.remove());
    byId("restart").addEventListener("click", () => {
      if (confirm("Begin the correction anew? What you painted stays in the record, but is no longer shown.")) this.correction.begin(state.edit.base);
    });
    if (state.facts.final) for (const control of byId("tools").querySelectorAll("[data-tool=brush], [data-tool=eraser]")) control.disabled = true;
  }

  show() {
    const { state } = this;
    this.buildLayers();
    byId("preset").value = state.preset ?? "own";
    byId("centre").value = Number(((state.window.low + state.window.high) / 2).toPrecision(4));
    byId("width").value = Number((state.window.high - state.window.low).toPrecision(4));
    for (const radio of document.querySelectorAll("input[name=overlay]")) radio.checked = radio.value === state.overlay;
    byId("opacity").value = Math.round(100 * state.opacity);
    byId("heat").checked = state.heat;
    byId("heat-legend").hidden = !state.heat;
    byId("cross").checked = state.showCross;
    for (const button of document.querySelectorAll("button[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool));
    byId("size").value = 2 * state.brushMm;
    byId("size-text").textContent = `${2 * state.brushMm} mm`;
    byId("undo").disabled = !state.edit.can_undo || state.facts.final;
    byId("redo").disabled = !state.edit.can_redo || state.facts.final;
    byId("restart").disabled = !state.edit.base || state.facts.final;
    byId("unmeasure").disabled = !state.measured.length;
    this.showStructures();
  }

  showStructures() {
    const volumes = Object.values(this.state.volumes() ?? {});
    for (const [place, item] of [...byId("structures").children].entries()) {
      item.querySelector("[type=radio]").checked = this.state.structures[place].code === this.state.code;
      item.querySelector(".volume").textContent = millilitres(volumes[place] ?? 0);
    }
  }
}
