// The person of the page as a stored user: profile, events, and forgetting both.

import { Refused, ask, userPath } from "./api.js";
import { byId, count, randomName, several, tell } from "./dom.js";

/**
 * The form.
 *
 * A user who was stored elsewhere is nobody's to try things with: to replace or forget one, the button is pressed twice.
 */
export class Stored {
  constructor(person, done) {
    Object.assign(this, { person, done, own: new Set(), sure: "" });
    this.input = byId("user");
    this.input.value = `page-${randomName(3)}`;
    this.input.addEventListener("input", () => this._tell());
    byId("stored-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this._try("send", (id) => this._send(id));
    });
    byId("forget").addEventListener("click", () => this._try("forget", (id) => this._forget(id)));
  }

  async _try(what, work) {
    const id = this.input.value.trim();
    if (!id) return this._fail("Give an id.");
    const buttons = [byId("send"), byId("forget")];
    for (const one of buttons) one.setAttribute("aria-disabled", "true");
    try {
      if (await this._mayChange(what, id)) await work(id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this._fail(error.message);
    }
    for (const one of buttons) one.removeAttribute("aria-disabled");
    return undefined;
  }

  async _mayChange(what, id) {
    if (this.own.has(id) || this.sure === `${what} ${id}`) return true;
    let found = null;
    try {
      found = await ask("GET", userPath(id));
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (!found) return true;
    const loses = what === "send" ? "its profile will be replaced" : "all of it will be deleted";
    this._fail(`A user ${id} with ${several(found.events, "event")} is stored already: press again, and ${loses}.`);
    this.sure = `${what} ${id}`;
    return false;
  }

  async _send(id) {
    const { attributes, chosen } = this.person();
    await ask("PUT", userPath(id), { attributes });
    this.own.add(id);
    let told = `${id} is stored`;
    if (chosen.length) {
      const events = chosen.map((one) => ({ user: id, item: one.item, id: `${one.event}-${id}`.slice(0, 256), request_id: one.request }));
      const answer = await ask("POST", "v1/events", events);
      told += `, with ${several(answer.new, "new event")}`;
      if (answer.new < answer.received) told += ` (${count(answer.received - answer.new)} sent before)`;
    } else told += "; choose items to send events, too";
    this._tell(`${told}.`);
    this.done();
  }

  async _forget(id) {
    try {
      await ask("DELETE", userPath(id));
    } catch (error) {
      if (error.status !== 404) throw error;
      this._fail(`Nothing is stored of ${id}.`);
      return;
    }
    this.own.delete(id);
    this._tell(`${id} is forgotten: profile, events and lists.`);
    this.done();
  }

  _tell(text = "") {
    this.sure = "";
    tell(byId("user-error"));
    tell(byId("user-told"), text);
  }

  _fail(text) {
    this._tell();
    tell(byId("user-error"), text);
  }
}
