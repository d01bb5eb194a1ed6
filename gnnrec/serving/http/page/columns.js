// Which models stand side by side, and one more that is loaded to be compared.

import { ask } from "./api.js";
import { Column } from "./column.js";
import { byId, h, newId, tell } from "./dom.js";

const TITLES = { main: "Main model", popular: "Popular", candidate: "Candidate", shadow: "Shadow" };
const FIRST = "(first)";

/** The columns; `given` is what each of them is made with, `changed()` is called when there are others. */
export class Columns {
  constructor(given, changed) {
    Object.assign(this, { given, changed, all: [], told: "" });
    this.place = byId("columns");
    this.switch = byId("switch");
  }

  /** Looks which models are in service. */
  async look() {
    this.take(await ask("GET", "v1/models"));
  }

  /** Takes what GET /v1/models said; columns of models that are the same stay as they are. */
  take(models) {
    this.models = models;
    const told = JSON.stringify(models);
    if (told === this.told) return;
    this.told = told;
    const serving = new Map(models.serving.map((one) => [one.role, one]));
    const roles = ["main", "popular", ...["candidate", "shadow"].filter((role) => serving.has(role))];
    const old = new Map(this.all.map((one) => [`${one.key} ${one.version}`, one]));
    this.all = roles.map((role) => {
      const live = serving.get(role);
      const version = live ? `${live.name} ${live.version}` : "";
      const found = old.get(`${role} ${version}`) ?? new Column({ ...this.given, ...this._head(role, live) });
      found.version = version;
      return found;
    });
    const elements = this.all.map((one) => one.element);
    if (roles.length === 2) elements.push(this._more(models));
    const names = [...roles, ...(roles.length === 2 ? ["more"] : [])];
    this.place.replaceChildren(...elements);
    this._switches(names, elements);
    this.changed();
  }

  _head(role, live) {
    if (!live) return { key: role, title: TITLES[role], detail: "what was chosen most often", explains: false };
    const detail = [live.name === FIRST ? "" : live.name, `version ${live.version}`];
    if (role === "candidate") detail.push(`answers ${live.users} of 100 stored users`);
    return { key: role, title: TITLES[role], detail: detail.filter(Boolean).join(" · "), aside: role === "shadow" ? this._end() : null };
  }

  _end() {
    const end = h("button", { type: "button", class: "quiet", text: "End", "aria-label": "End the shadow" });
    end.addEventListener("click", async () => {
      end.disabled = true;
      try {
        await ask("DELETE", "v1/models/shadow");
        await this.look();
        this.place.querySelector("select, .choose")?.focus();
      } catch (error) {
        this.all.find((one) => one.key === "shadow")?.fail(error.message);
      }
      end.disabled = false;
    });
    return end;
  }

  /** Another model to compare with. */
  _more(models) {
    const [id, title] = [newId("model"), newId("column")];
    const error = h("p", { class: "error", role: "alert" });
    const element = h("section", { class: "card column add", "aria-labelledby": title }, h("h3", { id: title, text: "Compare" }));
    if (!models.available.length) {
      element.append(h("p", { class: "muted small", text: "Start the service with --models FOLDER to see another model beside these." }));
      return element;
    }
    const select = h("select", { id }, ...models.available.map((name) => h("option", { value: name, text: name })));
    const button = h("button", { type: "submit", class: "primary", text: "Load as shadow" });
    const form = h("form", { class: "field" }, h("label", { for: id, text: "Another model" }), h("div", { class: "row" }, select, button));
    form.append(h("p", { class: "hint", text: "A shadow is asked, too, and answers nobody but this page." }), error);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      tell(error);
      [button.disabled, button.textContent] = [true, "Loading…"];
      try {
        this.take(await ask("POST", "v1/models", { name: select.value, role: "shadow" }));
        this.all.find((one) => one.key === "shadow")?.element.querySelector("button")?.focus();
      } catch (refused) {
        tell(error, refused.message);
      }
      [button.disabled, button.textContent] = [false, "Load as shadow"];
    });
    element.append(form);
    return element;
  }

  /** On a narrow page one list is shown at a time. */
  _switches(names, elements) {
    const before = this.switch.querySelector("input:checked")?.value;
    const now = names.includes(before) ? before : names[0];
    const show = (name) => elements.forEach((one, place) => one.classList.toggle("shown", names[place] === name));
    const labels = names.map((name) => {
      const input = h("input", { type: "radio", name: "shown", value: name, class: "unseen", onchange: () => show(name) });
      input.checked = name === now;
      return h("label", {}, input, h("span", { text: { more: "Compare", main: "Main" }[name] ?? TITLES[name] }));
    });
    this.switch.replaceChildren(this.switch.querySelector("legend"), ...labels);
    show(now);
  }
}
