// Brings the page up to date every few seconds, unless somebody has paused it, reads in it, or the page is hidden.

const EVERY_MS = 10000;
const pause = document.getElementById("pause");
const fresh = document.getElementById("fresh");
const main = document.querySelector("main");

function paused() {
  return pause.getAttribute("aria-pressed") === "true";
}

function inUse() {
  return document.hidden || main.contains(document.activeElement) || !getSelection().isCollapsed;
}

function replaceBy(text) {
  const words = document.createElement("p");
  words.className = "message";
  words.textContent = text;
  main.replaceChildren(words);
}

async function update() {
  if (paused() || inUse()) return;
  let answer, text;
  try {
    answer = await fetch("/", { cache: "no-store", redirect: "error" });
    text = await answer.text();
  } catch {
    fresh.textContent = "The server does not answer: what you see is old.";
    return;
  }
  if (!answer.ok) {
    replaceBy(text); // who may not look any more does not go on looking
    fresh.textContent = "";
    return;
  }
  const open = [...main.querySelectorAll("details")].map((one) => one.open);
  const next = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  next.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? false; });
  main.replaceChildren(...next.childNodes);
  fresh.textContent = "";
}

pause.hidden = false;
pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(!paused()));
  pause.textContent = paused() ? "Updates are paused" : "Pause updates";
  update();
});
setInterval(update, EVERY_MS);
document.body.dataset.ready = "yes";
