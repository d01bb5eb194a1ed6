// How the service is doing, every few seconds while the page is looked at.

import { ask } from "./api.js";
import { byId, count, h, svg, tell } from "./dom.js";
import { listSeconds, parse, quantile, since, sums, total } from "./prometheus.js";

const EVERY = 3000, SOON = 1000, KEPT = 60, MINUTE = 60_000;
const WIDTH = 150, HEIGHT = 36;

/** The metrics; `models(rows)` is told which models are in service. */
export class Metrics {
  constructor(models) {
    this.models = models;
    this.past = [];
    this.timer = 0;
    this.ground = svg("path", { class: "spark-ground", d: `M0 ${HEIGHT - 2}H${WIDTH}` });
    this.line = svg("path", { class: "spark" });
    this.area = svg("path", { class: "spark-area" });
    this.spark = svg("svg", { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.spark.append(this.area, this.ground, this.line);
    this.spark.setAttribute("aria-label", "Requests per second, no course yet");
    this.values = {};
    this.tiles = h("dl", { class: "tiles" });
    this._tile("rate", "Requests per second", this.spark);
    this._tile("median", "Median time of a list");
    this._tile("p99", "99 of 100 lists within");
    this._tile("lists", "Lists");
    this._tile("events", "Events");
    this.rows = h("tbody");
    const heads = ["Model", "Lists", "Lists clicked", "Click-through"];
    const head = h("tr", {}, ...heads.map((text) => h("th", { scope: "col", text })));
    const caption = h("caption", { class: "unseen", text: "Click-through by model" });
    byId("metrics").replaceChildren(this.tiles, h("table", {}, caption, h("thead", {}, head), this.rows));
    document.addEventListener("visibilitychange", () => this.past.length && this.poll());
  }

  _tile(key, name, extra = null) {
    this.values[key] = { value: h("span", { class: "value number", text: "–" }), more: h("span", { class: "muted small", text: " " }) };
    const { value, more } = this.values[key];
    this.tiles.append(h("div", { class: `tile ${key}` }, h("dt", { text: name }), h("dd", {}, value, more, extra)));
  }

  _tell(key, value, more) {
    tell(this.values[key].value, value);
    tell(this.values[key].more, more);
  }

  /** Reads them now and then every few seconds, unless the page is hidden. */
  async poll() {
    clearTimeout(this.timer);
    if (document.visibilityState === "hidden") return;
    let wait = this.past.length ? EVERY : SOON;
    try {
      this._show(parse(await ask("GET", "metrics")));
      tell(byId("metrics-error"));
    } catch (error) {
      tell(byId("metrics-error"), error.message);
      wait = error.needsToken ? 0 : Math.max(EVERY, 1000 * (error.again ?? 0));
    }
    clearTimeout(this.timer);
    if (wait) this.timer = setTimeout(() => this.poll(), wait);
  }

  _show(found) {
    const now = {
      at: performance.now(),
      requests: total(found, "gnnrec_requests_total", (labels) => labels.route.startsWith("/v1/")),
      seconds: listSeconds(found),
    };
    const before = this.past[this.past.length - 1];
    if (before && before.requests > now.requests) this.past = []; // the service was started again
    else if (before) now.rate = (1000 * (now.requests - before.requests)) / Math.max(now.at - before.at, 1);
    this.past = [...this.past, now].slice(-KEPT);
    this._times(now);
    this._course();
    const sources = sums(found, "gnnrec_lists_total", "source");
    const lists = [...sources.values()].reduce((sum, one) => sum + one, 0);
    const names = { model: "personal", popular: "popular" };
    this._tell("lists", count(lists), [...sources].sort().map(([source, value]) => `${count(value)} ${names[source] ?? source}`).join(" · ") || " ");
    const kinds = [...sums(found, "gnnrec_events_total", "kind")];
    const events = kinds.reduce((sum, [, one]) => sum + one, 0);
    this._tell("events", count(events), kinds.length > 1 ? kinds.map(([kind, value]) => `${count(value)} ${kind}`).join(" · ") : " ");
    this._clicks(found);
    this.models((found.get("gnnrec_model") ?? []).map((row) => row.labels));
  }

  /** Of the last minute where it had lists, else since the start. */
  _times(now) {
    const recent = this.past.find((one) => now.at - one.at <= MINUTE);
    const minute = since(now.seconds, recent?.seconds ?? new Map());
    const some = (minute.get(Infinity) ?? 0) > 0 && recent !== now;
    const buckets = some ? minute : now.seconds;
    const number = buckets.get(Infinity) ?? 0;
    const of = number ? `of ${count(number)}, ${some ? "last minute" : "since the start"}` : " ";
    this._tell("median", milliseconds(quantile(buckets, 0.5)), of);
    this._tell("p99", milliseconds(quantile(buckets, 0.99)), of);
  }

  _course() {
    const rates = this.past.map((one) => one.rate).filter((one) => one !== undefined);
    if (!rates.length) return;
    const last = rates[rates.length - 1], most = Math.max(...rates, 1);
    this._tell("rate", last.toFixed(1), `most ${Math.max(...rates).toFixed(1)}`);
    const step = WIDTH / (KEPT - 1), start = WIDTH - step * (rates.length - 1);
    const points = rates.map((rate, place) => `${(start + place * step).toFixed(1)} ${(HEIGHT - 2 - ((HEIGHT - 6) * rate) / most).toFixed(1)}`);
    this.line.setAttribute("d", `M${points.join("L")}`);
    this.area.setAttribute("d", `M${start.toFixed(1)} ${HEIGHT - 2}L${points.join("L")}L${WIDTH} ${HEIGHT - 2}Z`);
    const minutes = ((rates.length * EVERY) / MINUTE).toFixed(1);
    this.spark.setAttribute("aria-label", `Requests per second over ${minutes} minutes: now ${last.toFixed(1)}, most ${most.toFixed(1)}`);
  }

  _clicks(found) {
    const lists = sums(found, "gnnrec_lists_total", "model");
    const clicked = sums(found, "gnnrec_lists_clicked_total", "model");
    const roles = new Map((found.get("gnnrec_model") ?? []).map(({ labels }) => [labels.version, labels.role]));
    const place = ([model]) => ["main", "candidate", "shadow"].indexOf(roles.get(model)) >>> 0; // others come last
    const rows = [...lists].sort((one, other) => place(one) - place(other)).map(([model, number]) => {
      const hit = clicked.get(model) ?? 0;
      const name = roles.has(model) ? `${roles.get(model)} · ${model}` : model;
      const cells = [count(number), count(hit), number ? `${((100 * hit) / number).toFixed(1)} %` : "–"];
      return h("tr", { "data-model": model }, h("th", { scope: "row", text: name }), ...cells.map((text) => h("td", { class: "number", text })));
    });
    this.rows.replaceChildren(...(rows.length ? rows : [h("tr", {}, h("td", { colspan: 4, class: "muted", text: "No lists yet" }))]));
  }
}

function milliseconds(seconds) {
  if (seconds === null) return "–";
  const number = 1000 * seconds;
  return number >= 1000 ? `${(number / 1000).toFixed(1)} s` : `${number.toFixed(number < 10 ? 1 : 0)} ms`;
}
