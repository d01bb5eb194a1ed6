// The list of one model, and how it changed since it was last shown.

import { calm, h, newId, several, short, tell } from "./dom.js";
import { whyFigure } from "./why.js";

/**
 * A column.
 *
 * Args: key, the model's role; title and detail of its head; explains, whether items have a 'why'; choose(listed,
 * answer), for an item that is chosen; wantsWhy(column), where reasons are wanted that the list does not have; titles, of
 * items; aside, an element of its head.
 */
export class Column {
  constructor({ key, title, detail = "", explains = true, choose, wantsWhy, titles, aside = null }) {
    Object.assign(this, { key, title, explains, choose, wantsWhy, titles });
    this.rows = new Map();
    this.open = new Set();
    this.answer = null;
    const id = newId("column");
    this.detail = h("p", { class: "muted small detail", text: detail });
    this.source = h("span", { class: "badge" });
    this.error = h("p", { class: "error", role: "alert" });
    this.note = h("p", { class: "muted small note" });
    this.list = h("ol", { class: "list", "aria-labelledby": id });
    const head = h("div", { class: "head" }, h("h3", { id, text: title }), h("div", { class: "row tight" }, this.source, aside));
    this.element = h("section", { class: "card column", "aria-labelledby": id, "data-role": key, "aria-busy": "true" });
    this.element.append(head, this.detail, this.error, this.note, this.list);
    this.wait(10);
  }

  /** Empty rows, so that nothing jumps when the list comes. */
  wait(number) {
    this.list.replaceChildren(...Array.from({ length: number }, () => h("li", { class: "item empty", "aria-hidden": "true" })));
  }

  get explain() {
    return this.open.size > 0;
  }

  /** Shows a list; returns how it changed, in words. */
  show(answer, wanted, gone) {
    const before = this.answer && { ranks: ranksOf(this.answer.items, gone), wanted: this.wanted };
    const active = document.activeElement;
    const focus = this.list.contains(active) && { place: this._placeOf(active), name: active.dataset.does };
    const tops = new Map([...this.rows].map(([item, row]) => [item, row.element.offsetTop]));
    [this.answer, this.wanted] = [answer, wanted];
    const listed = new Set(answer.items.map((one) => one.item));
    this.open = new Set([...this.open].filter((item) => listed.has(item)));
    const scale = scaleOf(answer.items.map((one) => one.score));
    const rows = new Map();
    const changes = { new: 0, up: 0, down: 0 };
    for (const one of answer.items) {
      if (one.title) this.titles.set(one.item, one.title);
      const row = this.rows.get(one.item) ?? this._row(one);
      this._fill(row, one, scale);
      const change = changeOf(one, before, wanted);
      if (change) changes[change.sort] += 1;
      mark(row.mark, change);
      row.element.classList.toggle("changed", Boolean(change));
      rows.set(one.item, row);
    }
    this.rows = rows;
    this._arrange([...rows.values()].map((row) => row.element));
    if (focus && !this.list.contains(document.activeElement)) this._focus(focus);
    if (!calm()) this._move(tops);
    this.element.setAttribute("aria-busy", "false");
    tell(this.source, this.key === "popular" ? "" : answer.source === "popular" ? "popular items" : "personal");
    this.source.classList.toggle("strong", answer.source === "model");
    tell(this.note, answer.items.length ? "" : "No item is left; take a filter away.");
    tell(this.error);
    return inWords(this.title, changes, answer);
  }

  /** Says what went wrong; the list that was there stays. */
  fail(text) {
    this.element.setAttribute("aria-busy", "false");
    if (!this.answer) this.list.replaceChildren();
    tell(this.error, text);
  }

  warn(lines) {
    if (lines.length) tell(this.note, lines.join(" · "));
  }

  _row(one) {
    const name = one.title || one.item;
    const panel = h("div", { class: "panel", id: newId("panel"), hidden: true });
    const row = {
      panel,
      rank: h("span", { class: "rank number" }),
      mark: h("span", { class: "mark" }),
      title: h("span", { class: "title" }),
      bar: h("span", { class: "bar" }),
      score: h("span", { class: "score number" }),
      now: one,
    };
    const choose = h("button", { type: "button", class: "choose", "data-does": "choose", text: "Choose" });
    choose.setAttribute("aria-label", `Choose ${name}: I liked this`);
    choose.title = "I liked this";
    choose.addEventListener("click", () => this.choose(row.now, this.answer));
    const buttons = [choose];
    if (this.explains) {
      row.why = h("button", { type: "button", class: "quiet", "data-does": "why", text: "Why", "aria-expanded": "false" });
      row.why.setAttribute("aria-label", `Why ${name}`);
      row.why.setAttribute("aria-controls", panel.id);
      row.why.addEventListener("click", () => this._toggle(one.item));
      buttons.unshift(row.why);
    }
    const place = h("div", { class: "place" }, row.rank, row.mark);
    const track = h("span", { class: "track", "aria-hidden": "true" }, row.bar);
    const line = h("div", { class: "line" }, track, row.score, h("span", { class: "buttons" }, ...buttons));
    row.element = h("li", { class: "item", "data-item": one.item }, place, h("div", { class: "body" }, row.title, line), panel);
    return row;
  }

  _fill(row, one, scale) {
    row.now = one;
    tell(row.rank, String(one.rank));
    tell(row.title, one.title || one.item);
    row.score.replaceChildren(h("span", { class: "unseen", text: "score " }), short(one.score));
    row.bar.style.width = `${(100 * scale(one.score)).toFixed(1)}%`;
    if (this.open.has(one.item)) this._showWhy(row, one);
  }

  _toggle(item) {
    const row = this.rows.get(item);
    if (this.open.delete(item)) {
      row.panel.hidden = true;
      row.why.setAttribute("aria-expanded", "false");
      return;
    }
    this.open.add(item);
    this._showWhy(row, row.now);
    if (!row.now.why) this.wantsWhy(this);
  }

  /** Takes the reasons of an answer to the same request; the list stays. */
  addWhy(answer) {
    for (const one of answer.items) {
      const row = this.rows.get(one.item);
      if (!row) continue;
      row.now.why = one.why;
      if (this.open.has(one.item)) this._showWhy(row, row.now);
    }
  }

  _showWhy(row, one) {
    row.panel.hidden = false;
    row.why.setAttribute("aria-expanded", "true");
    if (one.why) row.panel.replaceChildren(whyFigure(one, this.titles));
    else if (!row.panel.hasChildNodes()) row.panel.replaceChildren(h("p", { class: "why-text", text: "One moment…" }));
  }

  /** Puts rows in their order; those that are where they belong are left alone, so that the focus stays. */
  _arrange(elements) {
    const kept = new Set(elements);
    for (const old of [...this.list.children]) if (!kept.has(old)) old.remove();
    const active = document.activeElement;
    const anchor = elements.findIndex((one) => one.contains(active));
    if (anchor >= 0) {
      for (const one of elements.slice(0, anchor)) this.list.insertBefore(one, elements[anchor]);
      for (const one of elements.slice(anchor + 1)) this.list.append(one);
    } else this.list.replaceChildren(...elements);
  }

  _placeOf(element) {
    return [...this.list.children].findIndex((row) => row.contains(element));
  }

  /** To the same button of the row that took the place. */
  _focus({ place, name }) {
    const row = this.list.children[Math.min(place, this.list.children.length - 1)];
    (row?.querySelector(`[data-does="${name}"]`) ?? row?.querySelector("button"))?.focus({ preventScroll: true });
  }

  _move(tops) {
    for (const [item, row] of this.rows) {
      const from = tops.get(item);
      const timing = { duration: 280, easing: "cubic-bezier(.2,.7,.3,1)" };
      if (from === undefined) {
        if (tops.size) row.element.animate([{ opacity: 0 }, { opacity: 1 }], timing);
      } else if (from !== row.element.offsetTop) {
        const by = from - row.element.offsetTop;
        row.element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], timing);
      }
    }
  }
}

/** Ranks in a list that has closed up where chosen items stood: those below did not rise because of the model. */
function ranksOf(items, gone) {
  return new Map(items.filter((one) => !gone.has(one.item)).map((one, place) => [one.item, place + 1]));
}

function changeOf(one, before, wanted) {
  if (!before) return null;
  const was = before.ranks.get(one.item);
  if (was === undefined) return before.wanted === wanted ? { sort: "new", by: 0 } : null;
  const by = was - one.rank;
  return by === 0 ? null : { sort: by > 0 ? "up" : "down", by: Math.abs(by) };
}

function mark(element, change) {
  element.className = `mark number ${change?.sort ?? ""}`;
  if (!change) return element.replaceChildren();
  const sign = { new: "new", up: `▲${change.by}`, down: `▼${change.by}` }[change.sort];
  const words = { new: "new in the list", up: `up ${change.by}`, down: `down ${change.by}` }[change.sort];
  return element.replaceChildren(h("span", { "aria-hidden": "true", text: sign }), h("span", { class: "unseen", text: words }));
}

function inWords(title, changes, answer) {
  if (!answer.items.length) return `${title}: no item is left.`;
  const parts = [changes.new && `${changes.new} new`, changes.up && `${changes.up} up`, changes.down && `${changes.down} down`];
  const told = parts.filter(Boolean).join(", ") || "nothing moved";
  const first = answer.items[0];
  return `${title}: ${several(answer.items.length, "item")}, ${told}. First: ${first.title || first.item}.`;
}

/** Score -> length of its bar from 0 to 1: from nought where no score is below it, else from the lowest. */
function scaleOf(scores) {
  const high = Math.max(...scores), low = Math.min(...scores);
  if (low >= 0) return (score) => (high > 0 ? score / high : 0);
  return (score) => (high > low ? 0.08 + (0.92 * (score - low)) / (high - low) : 1);
}
