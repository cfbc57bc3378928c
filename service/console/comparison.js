// The comparison of two templates: every decision here is one that the service answered.

import { comparePair, Problem, verify } from "./api.js";
import { byId, drawn, element, explain, number } from "./elements.js";

const WIDTH = 720, HEIGHT = 116, LEFT = 20, RIGHT = 20, AXIS = 70;
const LOW = -0.2, HIGH = 1;
const place = (score) => LEFT + ((Math.min(HIGH, Math.max(LOW, score)) - LOW) / (HIGH - LOW)) * (WIDTH - LEFT - RIGHT);

function intervalOf(pack, point, threshold) {
  const found = pack.operating_points.find((each) => each.name === point);
  const row = found && found.thresholds.find((each) => Math.abs(each.threshold - threshold) < 1e-9);
  return row ? row.threshold_interval : null;
}

async function decideAt(pack, reference, probe, point, scores) {
  try {
    const pair = await comparePair(reference, probe, point.name, scores);
    if (pair.error) return { point, error: `${pair.error.detail} (${pair.error.code})` };
    return { point, ...pair, interval: intervalOf(pack, point.name, pair.threshold) };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (scores === "raw" && ["insufficient_scope", "score_budget_spent"].includes(problem.code)) {
      return decideAt(pack, reference, probe, point, "banded");
    }
    if (problem.code !== "insufficient_scope") return { point, error: explain(problem) };
  }
  return decideAlone(reference, probe, point);
}

// Without the scope for pairs. It counts as an attempt, so it is not repeated for every operating point.
async function decideAlone(reference, probe, point) {
  try {
    const answer = await verify(reference, probe, point.name);
    return { point, ...answer, interval: answer.threshold_interval };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { point, error: explain(problem) };
  }
}

export class Comparison {
  constructor(section) {
    this.section = section;
    this.decisions = [];
    this.chosen = null;
    this.round = 0;
  }

  hide() {
    this.round += 1;
    this.section.hidden = true;
  }

  async compare(pack, reference, probe) {
    const round = (this.round += 1);
    const points = pack.operating_points;
    this.section.hidden = false;
    byId("decision").textContent = "Comparing…";
    byId("decision-detail").textContent = "";
    if (!points.length) {
      byId("decision").textContent = "No decision";
      byId("decision-detail").textContent = "This pack has no operating points: it makes templates, and no decisions until it is calibrated.";
      return;
    }
    this.chosen = points.some((point) => point.name === this.chosen) ? this.chosen : pack.default_operating_point || points[0].name;
    const first = await decideAt(pack, reference, probe, points.find((point) => point.name === this.chosen), "raw");
    const rest = first.error || first.fingerprint
      ? [] // An answer of a single comparison has its fingerprint; one of a pair has not.
      : await Promise.all(points.filter((point) => point.name !== this.chosen).map((point) => decideAt(pack, reference, probe, point, "banded")));
    if (round !== this.round) return;
    const found = new Map([first, ...rest].map((decision) => [decision.point.name, decision]));
    this.decisions = points.map((point) => found.get(point.name) || { point, unasked: true });
    this.score = first.score ?? null;
    this.llr = first.llr ?? null;
    this.ask = async (point) => decideAt(pack, reference, probe, point, "banded");
    this.offer(points);
    this.show();
  }

  offer(points) {
    const legend = byId("points").querySelector("legend");
    const radios = points.map((point) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name: "point", value: point.name, checked: point.name === this.chosen, onchange: () => this.choose(point) }),
        ` ${point.name}`,
      ),
    );
    byId("points").replaceChildren(legend, ...radios);
  }

  async choose(point) {
    this.chosen = point.name;
    const index = this.decisions.findIndex((decision) => decision.point.name === point.name);
    if (this.decisions[index].unasked) {
      const round = this.round;
      const decision = await this.ask(point);
      if (round !== this.round) return;
      this.decisions[index] = decision;
    }
    this.show();
  }

  show() {
    const decision = this.decisions.find((each) => each.point.name === this.chosen);
    const words = { match: "Match", non_match: "No match" }[decision.decision] || "No decision";
    byId("decision").textContent = words;
    byId("decision").className = decision.decision || "";
    byId("decision-detail").textContent = decision.error || this.detail(decision);
    byId("decisions").tBodies[0].replaceChildren(...this.decisions.map((each) => this.row(each)));
    byId("scale").replaceChildren(this.scale());
    byId("scale-caption").textContent = this.caption(decision);
  }

  detail(decision) {
    const score = this.score === null ? "Score at" : `Score ${number(this.score, 4)} against`;
    const band = decision.band ? `strictest operating point that they match at: ${decision.band}` : "they match at no operating point";
    const llr = this.llr === null ? "" : `; log-likelihood ratio ${this.llr >= 0 ? "+" : ""}${number(this.llr, 2)}`;
    return `${score} threshold ${number(decision.threshold, 4)} of ${decision.point.name}; ${band}${llr}.`;
  }

  caption(decision) {
    const shown = this.score === null
      ? "The exact score is not answered to this key; only at which operating points the two match."
      : `The score, ${number(this.score, 3)}, on the scale of cosines.`;
    return decision.error ? shown : `${shown} Lines are thresholds, bands their 95 % intervals; the chosen one is ${number(decision.threshold, 4)}.`;
  }

  row(decision) {
    const { point, interval } = decision;
    const words = { match: "match", non_match: "no match" }[decision.decision] || decision.error || "choose it to ask";
    const current = point.name === this.chosen ? "true" : null;
    return element(
      "tr",
      { "aria-current": current },
      element("th", { scope: "row" }, point.name),
      element("td", {}, `1 in ${Math.round(1 / point.fmr).toLocaleString()}`),
      element("td", {}, number(decision.threshold, 4)),
      element("td", {}, interval ? `${number(interval[0], 4)} to ${number(interval[1], 4)}` : "-"),
      element("td", {}, words),
    );
  }

  scale() {
    const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((score) => [
      drawn("line", { class: "axis", x1: place(score), x2: place(score), y1: AXIS, y2: AXIS + 5 }),
      drawn("text", { x: place(score), y: AXIS + 20, "text-anchor": "middle" }, score.toFixed(1)),
    ]);
    const marks = this.decisions.filter((each) => each.threshold !== undefined && each.threshold !== null).flatMap((each) => {
      const chosen = each.point.name === this.chosen ? " chosen" : "";
      const [low, high] = each.interval || [each.threshold, each.threshold];
      return [
        drawn("rect", { class: `interval${chosen}`, x: place(low), width: Math.max(1, place(high) - place(low)), y: AXIS - 36, height: 36 }),
        drawn("line", { class: `threshold${chosen}`, x1: place(each.threshold), x2: place(each.threshold), y1: AXIS - 36, y2: AXIS }),
        drawn("text", { x: place(each.threshold), y: AXIS + 38, "text-anchor": "middle" }, chosen ? each.point.name : ""),
      ];
    });
    const score = this.score === null ? [] : [
      drawn("path", { class: "score", d: `M ${place(this.score) - 7} ${AXIS - 52} h 14 l -7 12 z` }),
      drawn("text", { x: place(this.score), y: AXIS - 56, "text-anchor": this.score > 0.9 ? "end" : "middle" }, `score ${number(this.score, 3)}`),
    ];
    return drawn(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": "scale-caption" },
      drawn("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: AXIS, y2: AXIS }),
      ticks, marks, score,
    );
  }
}
