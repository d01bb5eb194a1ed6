// What answers say besides the lists: each line is shown beside what it is about.

import { Refused } from "./api.js";
import { byId, tell } from "./dom.js";

/** What a message of the service begins with -> where it is shown. */
const PLACES = { attributes: "profile-error", items: "chosen-error", n: "n-error", diversity: "diversity-error", only: "only-error", lists: "lists-error" };
const UNKNOWN_ITEM = "unknown item";

let warned = [];

/**
 * Shows warnings and errors of the answers to one change.
 *
 * Args: columns, the first of them the main model's; results, settled promises of answers; profile and only, fields.
 *
 * Returns seconds after which to ask again; null where that would not help.
 */
export function conclude(columns, results, profile, only) {
  const lines = Object.fromEntries(Object.keys(PLACES).map((name) => [name, new Set()]));
  warned = results[0].value?.answer.warnings ?? warned;
  for (const line of beside(warned, profile)) lines[line.startsWith(UNKNOWN_ITEM) ? "items" : "attributes"].add(line);
  const [first] = results;
  const alike = results.every((one) => one.reason && one.reason.message === first.reason?.message);
  let wait = null;
  results.forEach(({ value, reason }, place) => {
    const column = columns[place];
    if (value) return column.warn(place ? value.answer.warnings.filter((line) => !warned.includes(line)) : []);
    if (!(reason instanceof Refused)) throw reason;
    const name = Object.keys(PLACES).find((one) => reason.message.startsWith(`${one}: `) || reason.message.startsWith(`${one}.`));
    if (name) reason.lines.forEach((line) => lines[name].add(line.replace(`${name}: `, "")));
    else if (alike && !reason.needsToken) lines.lists.add(reason.message);
    column.fail(name || alike || reason.needsToken ? "" : reason.message);
    wait = reason.again ?? wait;
    return undefined;
  });
  lines.only = new Set(beside([...lines.only], only));
  for (const [name, id] of Object.entries(PLACES)) tell(byId(id), [...lines[name]].join(" · "));
  if (first.value) tell(byId("live"), first.value.told);
  return wait;
}

/** Shows lines that begin with the name of an attribute beside its input; returns the others. */
function beside(lines, fields) {
  const rest = new Set(lines);
  for (const one of fields) {
    const start = `${one.about.name}: `;
    const own = [...rest].filter((line) => line.startsWith(start));
    own.forEach((line) => rest.delete(line));
    one.warn(own.map((line) => line.slice(start.length)));
  }
  return [...rest];
}
