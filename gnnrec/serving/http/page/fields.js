// Inputs for the values of one attribute: of a profile, or that items must have.

import { count, h, newId, tell } from "./dom.js";

/** Values up to which an attribute is a select. */
const FEW = 30;
const MOST = 10;

/**
 * An input for an attribute of the vocabulary.
 *
 * Numbers are text that looks like a number, so that the service is the one to say what is wrong with them; a few
 * values are a select, where `nothing` stands for none, and more of them can be added; many are typed, with proposals.
 *
 * Returns the element; values(), those given, as text; set(values); and warn(lines).
 */
export function field(about, label, changed, nothing = "not told") {
  const own = about.numeric ? number : about.more || about.values.length > FEW ? typed : selects;
  const ids = { input: newId("field"), hint: newId("hint"), warning: newId("warning") };
  const warning = h("p", { id: ids.warning, class: "warning", role: "alert" });
  const made = own(about, label, ids, changed, nothing);
  const element = h("div", { class: "field", "data-attribute": about.name }, ...made.parts, warning);
  const warn = (lines) => {
    tell(warning, lines.join(" · "));
    element.classList.toggle("wrong", lines.length > 0);
  };
  return { element, about, values: made.values, set: made.set, warn };
}

function number(about, label, ids, changed) {
  const input = h("input", {
    id: ids.input,
    class: "short",
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    maxlength: 40,
    "aria-describedby": `${ids.hint} ${ids.warning}`,
    oninput: () => changed(true),
  });
  const hint = about.bounds.length ? `A number; groups begin at ${about.bounds.join(", ")}` : "A number";
  const title = h("label", { for: ids.input, text: label });
  return {
    parts: [title, input, h("p", { id: ids.hint, class: "hint", text: hint })],
    values: () => (input.value.trim() ? [input.value.trim()] : []),
    set: (values) => (input.value = values[0] ?? ""),
  };
}

function selects(about, label, ids, changed, nothing) {
  const rows = h("div", { class: "selects" });
  const another = h("button", { type: "button", class: "quiet small", text: "+ another", "aria-label": `Another ${label}` });
  const title = h("label", { for: ids.input, text: label });
  const values = () => [...rows.children].map((row) => row.value).filter(Boolean);

  function shown() {
    const room = rows.children.length < Math.min(MOST, about.values.length);
    another.classList.toggle("invisible", !(about.several && room && [...rows.children].every((row) => row.value)));
  }

  function add(value = "") {
    const place = rows.children.length;
    const row = h("select", {
      id: place ? null : ids.input,
      "aria-label": place ? `${label}, number ${place + 1}` : null,
      "aria-describedby": ids.warning,
      onchange: () => {
        if (!row.value && row !== rows.firstElementChild) {
          row.previousElementSibling.focus();
          row.remove();
        }
        shown();
        changed(false);
      },
    });
    row.append(h("option", { value: "", text: place ? "no other" : nothing }));
    row.append(...about.values.map((one) => h("option", { value: one, text: one })));
    row.value = value;
    rows.append(row);
    return row;
  }

  another.addEventListener("click", () => {
    add().focus();
    shown();
  });
  add();
  shown();
  return {
    parts: [h("div", { class: "label-row" }, title, another), rows],
    values: () => [...new Set(values())],
    set(given) {
      while (rows.children.length > 1) rows.lastElementChild.remove();
      rows.firstElementChild.value = given[0] ?? "";
      given.slice(1).forEach((one) => add(one));
      shown();
    },
  };
}

function typed(about, label, ids, changed) {
  const chips = h("ul", { class: "chips", "aria-label": `${label}: values given` });
  const options = h("datalist", { id: newId("options") });
  const input = h("input", {
    id: ids.input,
    type: "text",
    list: options.id,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 256,
    "aria-describedby": `${ids.hint} ${ids.warning}`,
  });
  const button = h("button", { type: "button", text: "Add", "aria-label": `Add ${label}`, onclick: () => take() });
  const known = about.values.length + about.more;
  const hint = `${count(known)} known values; type one and press Enter, several if you like`;
  let given = [];

  function take() {
    const value = input.value.trim();
    input.value = "";
    if (!value || given.includes(value)) return;
    given.push(value);
    draw();
    changed(false);
  }

  function draw() {
    chips.replaceChildren(
      ...given.map((value, place) => {
        const drop = h("button", { type: "button", class: "drop", text: "×", "aria-label": `Remove ${value}` });
        drop.addEventListener("click", () => {
          given.splice(place, 1);
          draw();
          (chips.children[Math.min(place, given.length - 1)]?.querySelector("button") ?? input).focus();
          changed(false);
        });
        return h("li", {}, h("span", { text: value }), drop);
      }),
    );
  }

  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      take();
    }
  });
  const propose = () => options.append(...about.values.map((one) => h("option", { value: one })));
  input.addEventListener("focus", propose, { once: true }); // a page with many attributes loads faster
  input.addEventListener("change", take);
  input.addEventListener("input", (event) => {
    if (!(event instanceof InputEvent) || event.inputType === "insertReplacementText") take(); // a proposal was taken
  });
  return {
    parts: [
      h("label", { for: ids.input, text: label }),
      h("div", { class: "row" }, input, button, options),
      h("p", { id: ids.hint, class: "hint", text: hint }),
      chips,
    ],
    values: () => given,
    set(values) {
      given = [...values];
      input.value = "";
      draw();
    },
  };
}

/** Inputs for many attributes: all but the first of them are folded away. */
export function fields(place, attributes, label, changed, { open = 8, nothing } = {}) {
  const made = attributes.map((about) => field(about, label(about), changed, nothing));
  const elements = made.map((one) => one.element);
  const rest = elements.slice(open);
  place.replaceChildren(...elements.slice(0, open));
  if (rest.length) {
    const summary = h("summary", { text: `${rest.length} more` });
    place.append(h("details", { class: "more" }, summary, h("div", { class: "fields" }, ...rest)));
  }
  return made;
}

/** A value for each of the first few attributes, drawn at random from those known. */
export function drawRandomly(made) {
  for (const one of made.slice(0, 6)) {
    const { numeric, bounds, values } = one.about;
    if (numeric && bounds.length) {
      const [low, high] = [bounds[0], bounds[bounds.length - 1]];
      const drawn = low + Math.random() * (high - low);
      one.set([String(high - low > 5 ? Math.round(drawn) : Number(drawn.toPrecision(3)))]);
    } else if (values.length) {
      one.set([values[Math.floor(Math.random() * values.length)]]);
    }
  }
}
