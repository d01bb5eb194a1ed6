// Why an item is in a list: the paths from the user to it, drawn and told.

import { h, newId, short, svg } from "./dom.js";

const WIDTH = 320, ROW = 42, PILL = { left: 72, width: 186, height: 34 };
const LONGEST = 29;

/** A figure: user -> value of an attribute or chosen item -> item, as wide as they weigh, and the same in words. */
export function whyFigure(listed, titles) {
  const paths = (listed.why ?? []).map((one) => ({ ...one, ...namesOf(one, titles) }));
  const title = listed.title || listed.item;
  if (!paths.length) {
    const text = "Nothing told of the user is behind it: it is chosen often, or the model says so for everybody.";
    return h("p", { class: "why-text", text });
  }
  const caption = h("figcaption", { class: "why-text", id: newId("why"), text: inWords(paths) });
  const picture = draw(paths);
  picture.setAttribute("aria-label", `Graph: user, ${paths.map((one) => one.label).join(" and ")}, ${title}`);
  return h("figure", { class: "why" }, picture, caption);
}

/** What a path is called in the picture, and in a sentence. */
function namesOf({ relation, value }, titles) {
  const name = titles.get(String(value)) || String(value);
  if (relation === "history") return { label: `chosen: ${name}`, words: `the chosen “${name}”` };
  if (relation === "similar") return { label: `similar: ${name}`, words: `the similar “${name}”` };
  return { label: `${relation}: ${value}`, words: `${relation} “${value}”` };
}

function inWords(paths) {
  const parts = paths.map((one) => `${short(one.weight)} less without ${one.words}`);
  const told = parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}` : parts[0];
  return `Its score would be ${told}.`;
}

function draw(paths) {
  const height = Math.max(paths.length * ROW, ROW + 16);
  const middle = height / 2, most = Math.max(...paths.map((one) => one.weight));
  const right = PILL.left + PILL.width;
  const edges = [], pills = [];
  paths.forEach((one, place) => {
    const y = (place + 0.5) * (height / paths.length);
    const width = 1 + (7 * one.weight) / most;
    edges.push(edge(26, middle, PILL.left, y, width), edge(right, y, WIDTH - 26, middle, width));
    const top = y - PILL.height / 2;
    pills.push(
      svg("rect", { class: "pill", x: PILL.left, y: top, width: PILL.width, height: PILL.height, rx: 8 }),
      svg("text", { class: "name", x: PILL.left + 10, y: y - 3, text: cut(one.label) }),
      svg("text", { class: "weight", x: PILL.left + 10, y: y + 11, text: `+${short(one.weight)}` }),
    );
  });
  const ends = [end(16, middle, "user"), end(WIDTH - 16, middle, "item")].flat();
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img" }, ...edges, ...pills, ...ends);
}

function edge(x0, y0, x1, y1, width) {
  const half = (x0 + x1) / 2;
  return svg("path", { class: "edge", d: `M${x0} ${y0}C${half} ${y0} ${half} ${y1} ${x1} ${y1}`, "stroke-width": width.toFixed(1) });
}

const end = (x, y, text) => [
  svg("circle", { class: "end", cx: x, cy: y, r: 10 }),
  svg("text", { class: "weight", x, y: y + 23, "text-anchor": "middle", text }),
];

const cut = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1).trimEnd()}…` : text);
