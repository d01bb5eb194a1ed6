// Elements made from data: text is only ever set as text, for titles and values may hold markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML: `on…` are listeners, `text` is text, all else attributes (null or false for none). */
export function h(tag, given = {}, ...children) {
  return filled(document.createElement(tag), given, children);
}

/** An element of SVG. */
export function svg(tag, given = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), given, children);
}

function filled(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Shows a line, or none; a screen reader reads it aloud where the element has the role alert or status. */
export function tell(element, text = "") {
  if (element.textContent !== text) element.textContent = text;
}

/** The function, called once things have been quiet for some milliseconds, unless it is cancelled before. */
export function quietly(work, milliseconds) {
  let timer = 0;
  const cancel = () => clearTimeout(timer);
  const soon = () => {
    cancel();
    timer = setTimeout(work, milliseconds);
  };
  return Object.assign(soon, { cancel });
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

let last = 0;
/** A new id for an element. */
export const newId = (stem) => `${stem}-${++last}`;

/** A random name in hexadecimal digits; works where `crypto.randomUUID` is missing, on plain http. */
export function randomName(bytes = 16) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (number) => whole.format(number);

/** A score as people read it: three digits or so. */
export function short(number) {
  if (Number.isInteger(number)) return count(number);
  const size = Math.abs(number);
  return size >= 100 ? count(number) : size >= 0.1 ? number.toFixed(2) : size >= 0.001 ? number.toFixed(3) : number.toExponential(0);
}

export const several = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
