// The keyboard: every control has a key, and the same table fills the help. Keys are off while a text is written.

const STEP_PX = 40;

export function keyTable({ state, views, panel, correction, measuring, form, page }) {
  const view = () => views[state.active];
  const scroll = (steps) => () => state.scroll(view().plane, steps);
  const step = (across, down) => () => {
    const cursor = [...state.cursor];
    cursor[view().axes[0]] -= across;
    cursor[view().axes[1]] -= down;
    state.moveTo(cursor);
  };
  const pan = (x, y) => () => {
    view().pan = [view().pan[0] + x * STEP_PX, view().pan[1] + y * STEP_PX];
    view().draw();
  };
  const zoom = (factor) => () => view().zoomAt(factor, ...view().toPage(view().cross));
  const overlays = ["outline", "fill", "off"];
  const names = Object.keys(views);
  const cycle = (list, at) => list[(list.indexOf(at) + 1) % list.length];
  const codes = state.structures.map((one) => one.code);
  const brush = (by) => () => panel.set({ brushMm: Math.min(Math.max(state.brushMm + by, 0.5), 20) });
  const candidates = () => state.layers().length > 1;
  return [
    ["Leaf", [
      ["ArrowUp", "↑", "next slice", scroll(1)], ["ArrowDown", "↓", "slice before", scroll(-1)],
      ["PageUp", "PgUp", "ten slices on", scroll(10)], ["PageDown", "PgDn", "ten slices back", scroll(-10)],
      ["Home", "Home", "first slice", scroll(-65535)], ["End", "End", "last slice", scroll(65535)],
      ["x", "X", "other plane", () => page.activate(cycle(names, state.active))],
      ["f", "F", "this plane alone, or all three", () => page.maximise()],
      ["Shift+ArrowLeft", "⇧ ← → ↑ ↓", "move the crosshair", step(-1, 0)],
      ["Shift+ArrowRight", null, null, step(1, 0)], ["Shift+ArrowUp", null, null, step(0, -1)], ["Shift+ArrowDown", null, null, step(0, 1)],
    ]],
    ["Look", [
      ["+", "+", "larger", zoom(1.25)], ["-", "−", "smaller", zoom(0.8)], ["0", "0", "whole slice", () => view().reset()],
      ["j", "J L I K", "move the picture", pan(1, 0)], ["l", null, null, pan(-1, 0)], ["i", null, null, pan(0, 1)], ["k", null, null, pan(0, -1)],
      ["w", "W", "next window", () => state.choosePreset(((state.preset ?? -1) + 1) % state.facts.presets.length)],
      ["o", "O", "outline, filled, off", () => panel.set({ overlay: cycle(overlays, state.overlay) })],
      ["u", "U", "where the model is unsure", () => state.facts.uncertainty && panel.set({ heat: !state.heat })],
      ["h", "H", "crosshair on or off", () => panel.set({ showCross: !state.showCross })],
      ["t", "T", "other label map", () => candidates() && panel.nextLayer()],
      ["y", "Y", "a second one as dashed lines", () => candidates() && panel.toggleBoth()],
    ]],
    ["Correct and measure", [
      ["v", "V", "point", () => panel.set({ tool: "navigate" })],
      ["b", "B", "brush", () => state.facts.final || panel.set({ tool: "brush" })], ["e", "E", "eraser", () => state.facts.final || panel.set({ tool: "eraser" })],
      ["d", "D", "distance", () => panel.set({ tool: "measure" })],
      [" ", "Space", "paint, or set an end, at the crosshair", () => page.dab()],
      ["[", "[ ]", "smaller or larger brush", brush(-0.5)], ["]", null, null, brush(0.5)],
      ["s", "S", "next structure", () => panel.set({ code: cycle(codes, state.code) })],
      ["Ctrl+z", "Ctrl Z", "undo", () => state.edit.can_undo && correction.undo()],
      ["Ctrl+Shift+Z", "Ctrl ⇧ Z", "redo", () => state.edit.can_redo && correction.redo()],
      ["Delete", "Del", "take the last distance away", () => measuring.remove()],
    ]],
    ["Answer", [
      ["a", "A", "accept", () => form.set({ verdict: "accept" })], ["c", "C", "correct", () => form.set({ verdict: "correct" })], ["r", "R", "reject", () => form.set({ verdict: "reject" })],
      ...[1, 2, 3, 4, 5].map((rating) => [String(rating), rating === 1 ? "1 … 5" : null, rating === 1 ? "rating" : null, () => form.set({ rating })]),
      ["Ctrl+Enter", "Ctrl ⏎", "save, and on to the next case", () => page.save()],
      ["n", "N", "next case", () => page.go(1)], ["p", "P", "case before", () => page.go(-1)],
      ["q", "Q", "worklist", () => page.worklist()], ["?", "?", "this help", () => page.help()],
    ]],
  ];
}

// The name of a key stroke as it stands in the table.
function nameOf(event) {
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.shiftKey && (event.key.startsWith("Arrow") || parts.length)) parts.push("Shift");
  return [...parts, event.key.length === 1 && !parts.length ? event.key.toLowerCase() : event.key].join("+");
}

function isText(target) {
  return target.matches("textarea, select, input:not([type=checkbox]):not([type=radio]):not([type=range])");
}

// What a focused control does with a key itself.
function isOwn(target, key) {
  if (isText(target)) return true;
  if (target.matches("button, a, summary, [type=checkbox]")) return key === " ";
  return target.matches("[type=radio], [type=range]") && (key.startsWith("Arrow") || ["Home", "End", "PageUp", "PageDown", " "].includes(key));
}

export function connectKeys(table, singleKeysOn) {
  const acts = new Map(table.flatMap(([, rows]) => rows.map(([key, , , act]) => [key, act])));
  addEventListener("keydown", (event) => {
    const name = nameOf(event);
    const act = acts.get(name);
    if (!act || event.altKey || document.querySelector("dialog[open]")) return;
    if (name !== "Ctrl+Enter" && isOwn(event.target, event.key)) return;
    if (event.key.length === 1 && !name.includes("+") && !singleKeysOn()) return;
    event.preventDefault();
    act();
  });
}
