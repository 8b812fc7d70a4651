// The worklist: which cases there are, which are done, and where to go on.

import { getJson, post } from "./api.js";
import { capital, caseAddress, element, timeText } from "./words.js";

const STATUS = { new: "Not opened", open: "Begun", unsaved: "Changed, not saved", done: "Done" };
const VERDICT = { accept: "Accepted", correct: "Corrected", reject: "Rejected" };
const byId = (id) => document.getElementById(id);

function said(values, words) {
  const names = Object.keys(values);
  const text = (name) => words ? words[values[name]] : String(values[name]);
  return names.length === 1 ? text(names[0]) : names.map((name) => `${capital(name)}: ${text(name)}`).join(", ");
}

function row(listed, place) {
  const status = listed.waiting ? "waiting" : listed.status;
  const name = listed.waiting ? listed.case : element("a", { href: caseAddress(listed.case) }, listed.case);
  return element("tr", {},
    element("td", { class: "number" }, String(place + 1)),
    element("td", {}, name, ...(listed.examination ? [element("div", { class: "soft" }, listed.examination)] : [])),
    element("td", {}, element("span", { class: `status ${status}` }, listed.waiting ?? STATUS[listed.status])),
    element("td", {}, said(listed.verdicts, VERDICT)),
    element("td", {}, said(listed.ratings)),
    element("td", { class: "number" }, listed.active_s ? timeText(listed.active_s) : ""));
}

function show(reading) {
  document.title = `${reading.title} · FedVoxel review`;
  byId("title").textContent = reading.title;
  byId("reader").textContent = reading.reader;
  byId("mode").textContent = reading.blinded ? "blinded: A and B are not told, and an answer is final" : "answers can be changed";
  byId("remarks").textContent = reading.remarks.join(" ");
  byId("remarks").hidden = !reading.remarks.length;
  byId("done").max = reading.cases.length;
  byId("done").value = reading.done;
  byId("done-text").textContent = `${reading.done} of ${reading.cases.length} done`;
  byId("cases").replaceChildren(...reading.cases.map(row));
  const next = reading.cases.find((listed) => listed.status !== "done" && !listed.waiting);
  byId("continue").hidden = !next;
  if (next) byId("continue").href = caseAddress(next.case);
  byId("continue").textContent = reading.cases.some((one) => one.status !== "new") ? "Continue" : "Begin";
  return reading.cases.some((listed) => listed.waiting);
}

function complain(error) {
  byId("trouble").textContent = error.message;
  byId("trouble").hidden = false;
}

async function refresh() {
  try {
    if (show(await getJson("/api/reading"))) setTimeout(refresh, 2000);
  } catch (error) {
    complain(error);
  }
}

async function signOut() {
  try {
    await post("/api/sign-out");
    location.replace("/signed-out");
  } catch (error) {
    complain(error);
  }
}

byId("sign-out").addEventListener("click", signOut);
refresh();
