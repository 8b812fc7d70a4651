// The reader's answer: accept, correct or reject each label map, rate it, say what is wrong. What stands in the form is
// kept as it is filled in, and becomes the answer when it is saved.

import { capital, element } from "./words.js";

const VERDICTS = [["accept", "Accept"], ["correct", "Correct"], ["reject", "Reject"]];
const RATINGS = ["Unusable", "Poor", "Usable if changed", "Good", "Perfect"];
const KEEP_AFTER_MS = 500;
const byId = (id) => document.getElementById(id);

export class AnswerForm {
  constructor(state, send) {
    this.state = state;
    this.send = send;
    this.sending = Promise.resolve();
    this.judged = new Map(state.facts.candidates.map((name) => [name, { verdict: null, rating: null, errors: [] }]));
    this.preferred = state.facts.draft?.preferred ?? null;
    // Nothing is chosen beforehand, Equal neither: it would be what hurried readers say.
    this.compared = Boolean(state.facts.draft?.compared || this.preferred);
    byId("note").value = state.facts.draft?.note ?? "";
    for (const { candidate, ...rest } of state.facts.draft?.judgements ?? []) {
      if (this.judged.has(candidate)) this.judged.set(candidate, rest);
    }
    this.build();
    state.on("panel", () => this.show());
  }

  // The candidate that the form is about: the one that is looked at, or that the correction came from.
  get candidate() {
    return this.state.layer === "corrected" ? this.state.edit.base : this.state.layer;
  }

  build() {
    byId("verdicts").append(...VERDICTS.map(([verdict, label]) => {
      const button = element("button", { type: "button", "data-verdict": verdict, "aria-pressed": "false" }, label);
      button.addEventListener("click", () => this.set({ verdict }));
      return button;
    }));
    byId("ratings").append(...RATINGS.map((label, place) => {
      const button = element("button", { type: "button", "data-rating": place + 1, title: label, "aria-pressed": "false", "aria-label": `${place + 1}, ${label}` }, String(place + 1));
      button.addEventListener("click", () => this.set({ rating: place + 1 }));
      return button;
    }));
    byId("errors").append(...Object.entries(this.state.facts.error_types).map(([error, label]) => {
      const box = element("input", { type: "checkbox", value: error });
      box.addEventListener("change", () => this.set({ errors: [...byId("errors").querySelectorAll("input:checked")].map((one) => one.value) }));
      return element("label", {}, box, label);
    }));
    byId("note").addEventListener("input", () => this.keepSoon());
    if (this.state.facts.candidates.length > 1) this.buildPreference();
    if (this.state.facts.final) byId("answer").disabled = true;
    this.show();
  }

  buildPreference() {
    byId("preference").hidden = false;
    for (const [value, label] of [...this.state.facts.candidates.map((name) => [name, capital(name)]), ["", "Equal"]]) {
      const radio = element("input", { type: "radio", name: "preferred", value });
      radio.checked = this.compared && value === (this.preferred ?? "");
      radio.addEventListener("change", () => {
        [this.preferred, this.compared] = [value || null, true];
        this.keepSoon();
        this.show();
      });
      byId("preference").append(element("label", {}, radio, label));
    }
  }

  set(change) {
    if (this.state.facts.final) return;
    Object.assign(this.judged.get(this.candidate), change);
    if (change.verdict === "correct" && this.state.tool === "navigate") this.state.tool = "brush";
    this.keepSoon();
    this.state.tell("panel", "look");
  }

  whole(name) {
    const { verdict, rating } = this.judged.get(name);
    return Boolean(verdict && rating);
  }

  get missing() {
    const names = this.state.facts.candidates;
    const open = names.filter((name) => !this.whole(name));
    const { base, changed } = this.state.edit;
    const uncorrected = names.filter((name) => this.judged.get(name).verdict === "correct" && !(name === base && changed));
    const about = names.length > 1 ? ` for ${open.map(capital).join(" and ")}` : "";
    if (open.length) return `Choose a verdict and a rating${about}.`;
    if (names.length > 1 && this.state.facts.blinded && !this.compared) return "Choose which is better, or Equal.";
    if (changed && this.judged.get(base).verdict === "accept") return `You painted on ${capital(base)}: choose Correct to save that, or Restart to discard it.`;
    return uncorrected.length ? `Nothing of ${capital(uncorrected[0])} is corrected: use the brush on it, or choose another verdict.` : "";
  }

  show() {
    const { verdict, rating, errors } = this.judged.get(this.candidate);
    byId("answer-of").textContent = this.state.facts.candidates.length > 1 ? `Answer for ${capital(this.candidate)}` : "Answer";
    for (const button of byId("verdicts").children) button.setAttribute("aria-pressed", button.dataset.verdict === verdict);
    for (const button of byId("ratings").children) button.setAttribute("aria-pressed", Number(button.dataset.rating) === rating);
    byId("rating-word").textContent = rating ? RATINGS[rating - 1] : "5 is perfect";
    for (const box of byId("errors").querySelectorAll("input")) box.checked = errors.includes(box.value);
    byId("wrong").textContent = errors.length ? ` (${errors.length})` : "";
    byId("missing").textContent = this.state.facts.final ? "Answered. Answers of a blinded reading are final." : this.missing;
    byId("save").disabled = Boolean(this.missing) || this.state.facts.final;
  }

  get said() {
    const judgements = [...this.judged].map(([candidate, judged]) => ({ candidate, ...judged }));
    return { judgements, preferred: this.preferred, note: byId("note").value.trim() };
  }

  get draft() {
    return { ...this.said, compared: this.compared };
  }

  keepSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), KEEP_AFTER_MS);
  }

  async keep(keepalive = false) {
    clearTimeout(this.timer);
    this.timer = null;
    const send = () => this.send("draft", { draft: this.draft }, keepalive).catch(() => {});
    // One after the other, or an older form could come last; a page that is left cannot wait.
    this.sending = keepalive ? send() : this.sending.then(send);
    await this.sending;
  }

  get unkept() {
    return this.timer !== null && this.timer !== undefined;
  }

  async save() {
    if (this.missing || this.state.facts.final) return null;
    await this.keep(); // so that the form is there again when the case is opened again
    return this.send("answer", { said: this.said });
  }
}
