// The page: a person, what it has chosen, and the lists that follow.

import { Refused, ask, token, whenRefused } from "./api.js";
import { Columns } from "./columns.js";
import { byId, count, h, quietly, randomName, tell } from "./dom.js";
import { drawRandomly, fields } from "./fields.js";
import { conclude } from "./messages.js";
import { Metrics } from "./metrics.js";
import { Stored } from "./stored.js";

const titles = new Map();
let profile = [], only = [], chosen = [];
let asking = null, again = 0, started = false;

const soon = quietly(refresh, 250);
const changed = (typing) => (typing ? soon() : refresh());
const columns = new Columns({ titles, choose, wantsWhy: explain }, () => started && refresh());
const metrics = new Metrics(sameModels);
new Stored(() => ({ attributes: attributes(), chosen }), () => metrics.poll());

// what is asked for

function attributes() {
  const given = {};
  for (const one of profile) {
    const values = one.values().map((text) => (one.about.numeric && Number.isFinite(Number(text)) ? Number(text) : text));
    if (values.length) given[one.about.name] = values.length === 1 ? values[0] : values;
  }
  return given;
}

function body(explain) {
  const wanted = {
    attributes: attributes(),
    items: chosen.map((one) => one.item),
    n: Number(byId("n").value),
    diversity: Number(byId("diversity").value),
    only: only.flatMap((one) => one.values().map((value) => `${one.about.name}:${value}`)),
  };
  return explain ? { ...wanted, explain } : wanted;
}

/** Asks for all lists; only the last answers count. */
async function refresh() {
  if (!started) return;
  asking?.abort();
  soon.cancel();
  clearTimeout(again);
  const own = (asking = new AbortController());
  const gone = new Set(chosen.map((one) => one.item));
  const all = [...columns.all];
  for (const one of all) one.element.setAttribute("aria-busy", "true");
  const results = await Promise.allSettled(
    all.map(async (column) => {
      const wanted = body(column.explain);
      const answer = await ask("POST", `v1/recommendations?model=${column.key}`, wanted, own.signal);
      if (own.signal.aborted) return null;
      return { answer, told: column.show(answer, wanted.n, gone) };
    }),
  );
  if (own.signal.aborted) return;
  const wait = conclude(all, results, profile, only);
  if (wait !== null) again = setTimeout(refresh, 1000 * wait);
}

/** Asks for the reasons of a list that was asked for without them. */
async function explain(column) {
  try {
    column.addWhy(await ask("POST", `v1/recommendations?model=${column.key}`, body(true), asking?.signal));
  } catch (error) {
    if (error instanceof Refused) column.fail(error.message);
    else if (error.name !== "AbortError") throw error;
  }
}

// chosen items

function choose(listed, answer) {
  if (chosen.some((one) => one.item === listed.item)) return;
  chosen.push({ item: listed.item, title: listed.title || listed.item, request: answer.request_id, event: randomName() });
  drawChosen();
  refresh();
}

function drawChosen() {
  byId("chosen-none").hidden = chosen.length > 0;
  byId("clear-chosen").hidden = !chosen.length;
  byId("chosen").replaceChildren(
    ...chosen.map((one, place) => {
      const drop = h("button", { type: "button", class: "drop", text: "×", "aria-label": `Remove ${one.title}` });
      drop.addEventListener("click", () => {
        chosen = chosen.filter((other) => other !== one);
        drawChosen();
        const next = byId("chosen").children[Math.min(place, chosen.length - 1)];
        (next?.querySelector("button") ?? byId("chosen-title")).focus();
        refresh();
      });
      return h("li", { "data-item": one.item }, h("span", { text: one.title }), drop);
    }),
  );
}

// models

/** Looks again where the metrics name other models than the page shows. */
async function sameModels(rows) {
  const key = (list) => list.map((one) => `${one.role} ${one.name} ${one.version}`).sort().join();
  if (!columns.models || key(rows) === key(columns.models.serving)) return;
  try {
    await Promise.all([columns.look(), lookUp()]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

// start

async function lookUp() {
  const words = await ask("GET", "v1/vocabulary");
  const now = JSON.stringify(words);
  tell(byId("about"), `gnnrec · ${count(words.items)} items`);
  if (now === lookUp.told) return;
  lookUp.told = now;
  const [told, asked] = [profile, only].map((made) => new Map(made.map((one) => [one.about.name, one.values()])));
  profile = fields(byId("profile"), unique(words.attributes), (about) => about.name, changed);
  only = fields(byId("only"), unique(words.item_attributes), (about) => `Only ${about.name}`, changed, { open: 3, nothing: "any" });
  for (const one of profile) one.set(told.get(one.about.name) ?? []);
  for (const one of only) one.set(asked.get(one.about.name) ?? []);
  byId("random").hidden = !profile.length;
  byId("clear").hidden = !profile.length;
  if (!profile.length) {
    const text = "This model knows no attributes of users: its lists hang on chosen items alone.";
    byId("profile").append(h("p", { class: "muted small", text }));
  }
}

const unique = (list) => list.filter((about, place) => list.findIndex((one) => one.name === about.name) === place);

async function start() {
  clearTimeout(again);
  tell(byId("page-error"));
  byId("drop-token").hidden = !token.get();
  started = false;
  try {
    await Promise.all([lookUp(), columns.look()]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.needsToken) show(false);
    else tell(byId("page-error"), error.message);
    if (error.again !== null) again = setTimeout(start, 1000 * error.again);
    return;
  }
  started = true;
  show(true);
  metrics.poll();
  await refresh();
}

/** All at once, when it is known what there is, so that nothing jumps. */
function show(there) {
  byId("main").hidden = byId("foot").hidden = !there;
}

whenRefused((refused) => {
  const unknown = token.get() ? "The service does not know this token." : "This service asks for a token.";
  byId("token-form").hidden = false;
  byId("no-token").hidden = !started;
  tell(byId("token-error"), refused.status === 401 ? unknown : `Refused: ${refused.message}.`);
  if (!document.activeElement?.matches("input, select")) byId("token").focus();
});
byId("no-token").addEventListener("click", () => (byId("token-form").hidden = true));
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  tell(byId("token-error"));
  byId("token-form").hidden = true;
  start();
});
byId("drop-token").addEventListener("click", () => {
  token.set("");
  start();
});
byId("clear").addEventListener("click", () => {
  for (const one of profile) one.set([]);
  refresh();
});
byId("random").addEventListener("click", () => {
  drawRandomly(profile);
  refresh();
});
byId("clear-chosen").addEventListener("click", () => {
  chosen = [];
  drawChosen();
  byId("chosen-title").focus();
  refresh();
});
byId("n").addEventListener("input", soon);
byId("diversity").addEventListener("input", () => {
  tell(byId("diversity-told"), byId("diversity").value);
  soon();
});
if (matchMedia("(max-width: 47.5rem)").matches) byId("filters").open = false;
start();
