// Numbers and small elements as people read them.

export function timeText(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function millilitres(value) {
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value)} ml`;
}

// element("button", { type: "button" }, "Save"): text is always text, never HTML.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export function caseAddress(name) {
  return `/case?case=${encodeURIComponent(name)}`;
}
