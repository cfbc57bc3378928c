// The templates that the service keeps for this key.

import { eraseTemplate, expireTemplate, listTemplates, Problem } from "./api.js";
import { byId, element, explain, number, tell, when } from "./elements.js";

const DAY_S = 86400;

function confirm(text, { yes, days }) {
  const dialog = byId("confirmation");
  byId("confirmation-text").textContent = text;
  byId("confirmation-yes").textContent = yes;
  byId("confirmation-days").hidden = !days;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      const given = Number(byId("confirmation-days").querySelector("input").value);
      resolve(dialog.returnValue === "yes" ? (days ? given : true) : null);
    }, { once: true }),
  );
}

export class Templates {
  constructor() {
    this.body = byId("templates").tBodies[0];
    this.more = byId("more-templates");
    this.more.addEventListener("click", () => this.load());
  }

  async open() {
    this.seen = new Set();
    this.cursor = "0";
    this.body.replaceChildren();
    await this.load();
  }

  async load() {
    tell("");
    try {
      const before = this.seen.size;
      while (this.cursor !== null && this.seen.size === before) {
        const page = await listTemplates(this.cursor);
        for (const template of page.templates) this.add(template);
        this.cursor = page.next_cursor;
      }
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      tell(explain(problem));
    }
    this.more.hidden = this.cursor === null;
    this.count();
  }

  count() {
    const shown = this.body.rows.length;
    const text = shown === 0 ? "There are none." : `${shown} shown${this.cursor === null ? ", which are all" : ""}.`;
    byId("templates-count").textContent = `What this service keeps, sealed, for this key's tenant. ${text}`;
  }

  add(template) {
    if (this.seen.has(template.template_id)) return;
    this.seen.add(template.template_id);
    const expires = element("td", {}, when(template.expires_at));
    const id = template.template_id;
    const row = element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, id), template.consistent === false ? " (its faces differ)" : ""),
      element("td", {}, template.subject || "-"),
      element("td", {}, String(template.samples)),
      element("td", {}, number(template.quality)),
      expires,
      element(
        "td",
        {},
        element("button", { type: "button", "aria-label": `Let ${id} expire sooner`, onclick: () => this.expire(id, expires) }, "Expire…"),
        " ",
        element("button", { type: "button", class: "danger", "aria-label": `Erase ${id}`, onclick: () => this.erase(id, row) }, "Erase…"),
      ),
    );
    this.body.append(row);
  }

  async expire(id, cell) {
    const days = await confirm(`When should ${id} expire? It never lives longer for it.`, { yes: "Let it expire", days: true });
    if (days === null) return;
    await this.change(async () => {
      const answer = await expireTemplate(id, Math.max(1, Math.round(days * DAY_S)));
      cell.textContent = when(answer.expires_at);
      tell(`${id} expires ${when(answer.expires_at)}.`);
    });
  }

  async erase(id, row) {
    if (!(await confirm(`Erase ${id}? It cannot be brought back.`, { yes: "Erase", days: false }))) return;
    await this.change(async () => {
      await eraseTemplate(id);
      row.remove();
      this.count();
      tell(`${id} was erased.`);
      byId("main").focus();
    });
  }

  async change(work) {
    try {
      await work();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      tell(explain(problem));
    }
  }
}
