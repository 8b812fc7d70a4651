// The page of one case: puts the parts together.

import { getJson, post } from "./api.js";
import { AnswerForm } from "./answer_form.js";
import { Clock } from "./clock.js";
import { CorrectionTool } from "./correction.js";
import { connectKeys, keyTable } from "./keys.js";
import { MeasuringTool } from "./measuring.js";
import { Panel } from "./panel.js";
import { PlaneView } from "./plane_view.js";
import { connectPointer } from "./pointer.js";
import { ReadingState } from "./reading_state.js";
import { Slices } from "./slices.js";
import { offerThreeDimensions } from "./webgl.js";
import { capital, caseAddress, element, timeText } from "./words.js";

const name = new URLSearchParams(location.search).get("case") ?? "";
const base = `/api/cases/${encodeURIComponent(name)}`;
const byId = (id) => document.getElementById(id);

const troubles = new Map();

// What went wrong stays until the same thing goes well: a stroke that is lost is not forgotten for a form that is kept.
function trouble(message, what = "") {
  troubles.delete(what);
  if (message) troubles.set(what, message);
  byId("trouble").textContent = [...troubles.values()].pop() ?? "";
  byId("trouble").hidden = !troubles.size;
}

async function open() {
  byId("name").textContent = name;
  document.title = `${name} · FedVoxel review`;
  try {
    const facts = await post(`${base}/visit`);
    build(facts);
  } catch (error) {
    byId("loading").hidden = true;
    trouble(error.message);
  }
}

function build(facts) {
  const state = new ReadingState(facts);
  const clock = new Clock((keepalive) => sendTime(keepalive), (running) => {
    byId("time").textContent = timeText(facts.active_s + clock.seconds);
    byId("time").classList.toggle("paused", !running);
    byId("time").title = running ? "Time on this case" : "Time on this case; paused until you go on";
  });
  const activity = () => ({ visit: facts.visit, active_s: clock.seconds });
  const sendTime = (keepalive) => post(`${base}/time`, activity(), keepalive).catch(() => {});

  async function send(what, body = {}, keepalive = false) {
    byId("saved").textContent = "Saving…";
    try {
      const answer = await post(`${base}/${what}`, { ...activity(), ...body }, keepalive);
      byId("saved").textContent = `Saved ${new Date().toTimeString().slice(0, 8)}`;
      trouble("", what);
      return answer;
    } catch (error) {
      byId("saved").textContent = "Not saved";
      trouble(error.message, what);
      throw error;
    }
  }

  const views = {};
  const refresh = () => Promise.all(Object.values(views).map((view) => view.refresh())).then(() => trouble(""), (error) => trouble(error.message));
  const correction = new CorrectionTool(state, send, refresh);
  const measuring = new MeasuringTool(state, send);
  const form = new AnswerForm(state, send);
  const panel = new Panel(state, correction, measuring);
  const slices = new Slices(name);
  for (const plane of Object.values(facts.planes)) {
    views[plane.name] = new PlaneView(byId(plane.name), plane, state, slices);
    connectPointer(views[plane.name], state, correction, measuring);
  }
  const page = pageActs(state, views, form, correction, measuring);
  const table = keyTable({ state, views, panel, correction, measuring, form, page });
  connectKeys(table, () => byId("single-keys").checked);
  fillHelp(table);
  state.on("slices", refresh);
  state.on("slices", () => showPlaces(state, views));
  state.on("look", () => Object.values(views).forEach((view) => view.draw()));
  state.on("panel", () => showActive(state, views));
  addEventListener("pagehide", () => {
    if (form.unkept) form.keep(true);
    correction.locked = false; // should the browser show this page again
  });
  addEventListener("beforeunload", (event) => { if (correction.unsent) event.preventDefault(); });
  connectControls(page, facts);
  offerThreeDimensions(facts, () => state.layer);
  showPlaces(state, views);
  showActive(state, views);
  showFacts(facts, views);
  refresh().then(() => requestAnimationFrame(() => { // all is drawn now
    byId("loading").hidden = true;
    document.body.dataset.ready = "yes";
    state.ready = true;
    Object.values(views).forEach((view) => view.prefetch());
    // The server reads the map now, and not when the reader wants to see it.
    if (facts.uncertainty) slices.heat("axial", views.axial.index).catch(() => {});
  }));
}

function pageActs(state, views, form, correction, measuring) {
  const order = state.facts.order;
  const at = order.indexOf(name);
  // Does something that ends the page once all that was painted is saved; not if that fails, and the message says why.
  const afterStrokes = async (act) => {
    if (correction.locked) return;
    byId("waiting").hidden = !correction.unsent;
    const kept = await correction.settled();
    byId("waiting").hidden = true;
    if (!kept) trouble("What you painted last was not saved. Paint it again, or choose the same once more to go on without it.", "edit");
    correction.locked = kept && await act();
  };
  const leave = (address) => afterStrokes(async () => {
    if (form.unkept) await form.keep();
    location.href = address;
    return true;
  });
  return {
    activate(plane) {
      state.active = plane;
      views[plane].canvas.focus();
      state.tell("panel");
    },
    maximise() {
      const alone = byId("planes").dataset.alone;
      byId("planes").dataset.alone = alone ? "" : state.active;
    },
    dab() {
      if (state.tool === "measure") measuring.point(views[state.active]);
      else if (correction.painting()) correction.dab(views[state.active]);
    },
    go(steps) {
      if (order[at + steps]) leave(caseAddress(order[at + steps]));
    },
    worklist: () => leave("/"),
    help: () => byId("help").showModal(),
    save: () => afterStrokes(async () => {
      const reading = await form.save().catch(() => null);
      if (!reading) return false;
      const open = reading.cases.filter((one) => one.status !== "done" && !one.waiting).map((one) => one.case);
      const next = order.slice(at + 1).find((one) => open.includes(one)) ?? open[0];
      location.href = next ? caseAddress(next) : "/";
      return true;
    }),
  };
}

function connectControls(page, facts) {
  const at = facts.order.indexOf(name);
  byId("place").textContent = `${at + 1} of ${facts.order.length}`;
  byId("before").disabled = at === 0;
  byId("after").disabled = at === facts.order.length - 1;
  byId("before").addEventListener("click", () => page.go(-1));
  byId("after").addEventListener("click", () => page.go(1));
  byId("worklist").addEventListener("click", (event) => { event.preventDefault(); page.worklist(); });
  byId("help-open").addEventListener("click", page.help);
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("save").addEventListener("click", page.save);
  for (const pane of document.querySelectorAll(".plane")) {
    pane.querySelector("canvas").addEventListener("focus", () => page.activate(pane.id));
    pane.querySelector(".alone").addEventListener("click", () => {
      page.activate(pane.id);
      page.maximise();
    });
  }
}

function fillHelp(table) {
  byId("keys").replaceChildren(...table.map(([title, rows]) => element("section", {},
    element("h3", {}, title),
    element("dl", {}, ...rows.filter(([, shown]) => shown).flatMap(([, shown, says]) => [element("dt", {}, element("kbd", {}, shown)), element("dd", {}, says)])))));
}

// What stands in the corners of each plane: its name, its sides, its slice.
function showFacts(facts, views) {
  for (const [plane, view] of Object.entries(views)) {
    const [left, right, top, bottom] = view.plane.sides;
    const tilt = view.plane.tilt_degrees;
    view.pane.querySelector("h2").textContent = capital(plane) + (tilt ? ` ∠ ${Math.round(tilt)}°` : "");
    for (const [side, letter] of Object.entries({ left, right, top, bottom })) view.pane.querySelector(`.${side}`).textContent = letter;
  }
  byId("remarks").textContent = facts.remarks.join(" ");
  byId("remarks").hidden = !facts.remarks.length;
  byId("examination").textContent = facts.examination ?? "";
  byId("voxels").textContent = `Voxels ${facts.spacing_mm.map((mm) => Number(mm.toPrecision(3))).join(" × ")} mm`;
}

function showPlaces(state, views) {
  for (const [plane, view] of Object.entries(views)) {
    const text = `${view.index + 1} / ${view.plane.slices}`;
    view.pane.querySelector(".slice").textContent = text;
    view.canvas.setAttribute("aria-label", `${capital(plane)} plane, slice ${view.index + 1} of ${view.plane.slices}`);
  }
}

function showActive(state, views) {
  for (const [plane, view] of Object.entries(views)) {
    view.pane.classList.toggle("active", plane === state.active);
    view.canvas.dataset.cursor = state.tool;
    view.draw();
  }
}

getJson("/api/reading").then((reading) => { byId("reader").textContent = reading.reader; }).catch(() => {});
open();
