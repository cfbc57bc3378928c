// Health and throughput of the process that answers.

import { ask, askText, currentPack, Problem } from "./api.js";
import { byId, element, explain, facts, number } from "./elements.js";

const EVERY_MS = 2000;

function sumOf(text, name, labels = "") {
  let sum = 0, found = false;
  for (const line of text.split("\n")) {
    if (!(line.startsWith(`${name}{`) || line.startsWith(`${name} `)) || !line.includes(labels)) continue;
    sum += Number(line.slice(line.lastIndexOf(" ") + 1));
    found = true;
  }
  return found ? sum : null;
}

const read = (text) => ({
  requests: sumOf(text, "coreface_requests_total"),
  samples: sumOf(text, "coreface_samples_total"),
  templates: sumOf(text, "coreface_templates_total"),
  comparisons: sumOf(text, "coreface_comparisons_total"),
  failures: sumOf(text, "coreface_failures_total"),
  waiting: sumOf(text, "coreface_engine_sets_waiting"),
  flight: sumOf(text, "coreface_engine_sets_in_flight"),
  seconds: sumOf(text, "coreface_request_seconds_sum", 'route="/v1/templates"'),
  answered: sumOf(text, "coreface_request_seconds_count", 'route="/v1/templates"'),
});

export class Service {
  open() {
    this.close();
    this.before = null;
    this.look();
    this.timer = setInterval(() => this.look(), EVERY_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  async look() {
    await Promise.all([this.health(), this.pack(), this.throughput()]);
  }

  async health() {
    let checks, said;
    try {
      checks = (await ask("/health/ready")).checks;
      said = "Ready: store, engine and pack are usable.";
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      checks = problem.checks;
      said = `Not ready. ${explain(problem)}`;
    }
    byId("service-status").textContent = said;
    byId("checks").replaceChildren(
      ...checks.map((check) =>
        element("li", {}, element("span", { class: check.ok ? "ok" : "failed" }, `${check.ok ? "ok" : "failed"}: ${check.name}`), element("br"), check.detail),
      ),
    );
  }

  async pack() {
    try {
      const pack = await currentPack();
      byId("pack").replaceChildren(...facts([
        ["name", `${pack.name} ${pack.version}`],
        ["fingerprint", pack.fingerprint],
        ["aggregation", `${pack.aggregation}${pack.aggregator_trained ? "" : ", untrained"}`],
        ["weights", pack.license.spdx],
        ["operating points", pack.operating_points.map((point) => point.name).join(", ") || "none: not calibrated"],
      ]));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      byId("pack").replaceChildren(...facts([["unknown", explain(problem)]]));
    }
  }

  async throughput() {
    let text;
    try {
      text = await askText("/metrics");
    } catch {
      byId("throughput-note").textContent = "Metrics are not to be had at this address; a site may keep them on its operators' port.";
      byId("throughput").replaceChildren();
      return;
    }
    const at = performance.now(), now = read(text), before = this.before;
    this.before = { at, now };
    byId("throughput-note").textContent = before ? "" : "Rates in a moment…";
    const rate = (name) => (before ? `${number((1000 * (now[name] - before.now[name])) / (at - before.at), 1)}/s` : "-");
    byId("throughput").replaceChildren(...facts([
      ["requests", `${now.requests ?? 0} (${rate("requests")})`],
      ["new samples", `${now.samples ?? 0} (${rate("samples")})`],
      ["templates answered", `${now.templates ?? 0} (${rate("templates")})`],
      ["decisions", `${now.comparisons ?? 0} (${rate("comparisons")})`],
      ["problems answered", `${now.failures ?? 0} (${rate("failures")})`],
      ["sets waiting / at work", `${now.waiting ?? 0} / ${now.flight ?? 0}`],
      ["mean time of a set", now.answered ? `${number((1000 * now.seconds) / now.answered)} ms` : "-"],
    ]));
  }
}
