// One side of a comparison: files in, the template and what became of each sample out.

import { createTemplate, Problem } from "./api.js";
import { element, explain, facts, number, when, withWidth } from "./elements.js";
import { frameOf } from "./pictures.js";

const REASONS = {
  no_face: "no face was found",
  too_small: "the face is too small",
  duplicate: "the same picture again",
  near_duplicate: "nearly the same picture again",
  inconsistent: "does not look like the others",
  unusable_embedding: "the face cannot be described",
};
const saidOf = (reason) => REASONS[reason] || reason.replaceAll("_", " ");

export const stateOf = (sample) =>
  sample.status === "used" ? (sample.core_rank === null ? "used" : `core, pick ${sample.core_rank + 1}`) : "not used";

function sampleItem(file, sample) {
  const kinds = ["sample", sample.status, sample.core_rank === null ? "" : "core"].join(" ");
  const reason = sample.reason ? element("p", {}, saidOf(sample.reason)) : null;
  const group = sample.group > 0 ? element("p", {}, "looks like somebody else") : null;
  const bar = sample.status === "used" ? element("div", { class: "weight" }, withWidth(element("span"), sample.weight)) : null;
  return element(
    "li",
    { class: kinds },
    frameOf(file, sample),
    element(
      "div",
      { class: "facts" },
      element("p", { class: "state" }, stateOf(sample)),
      reason,
      group,
      bar,
      element("p", {}, `weight ${number(100 * sample.weight)} %, quality ${number(sample.quality)}`),
      element("p", {}, file.name),
    ),
  );
}

function sampleTable(files, samples) {
  const columns = ["file", "state", "reason", "quality", "weight", "change", "sharpness", "brightness", "yaw", "roll", "eye distance"];
  const row = (sample) => [
    stateOf(sample), sample.reason || "-", number(sample.quality), number(sample.weight, 3), number(sample.change, 3),
    number(sample.sharpness, 1), number(sample.brightness, 2), number(sample.yaw), number(sample.roll), number(sample.eye_distance),
  ];
  return element(
    "details",
    {},
    element("summary", {}, "All measures as a table"),
    element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Measures of each sample" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, columns.map((name) => element("th", { scope: "col" }, name)))),
        element(
          "tbody",
          {},
          samples.map((sample) =>
            element(
              "tr",
              {},
              element("th", { scope: "row" }, files[sample.index].name),
              row(sample).map((value) => element("td", {}, value)),
            ),
          ),
        ),
      ),
    ),
  );
}

function consistencyWarning(answer) {
  if (answer.consistent !== false) return null;
  const others = answer.samples.filter((sample) => sample.group > 0).length;
  const text = `These faces do not look like one person's: ${others} of ${answer.samples.length} look like somebody else. ` +
    "The template mixes them. Take them out, or let the service drop them.";
  return element("p", { class: "warning", role: "alert" }, text);
}

export class Side {
  constructor(section, changed) {
    this.template = null;
    this.changed = changed;
    const name = section.dataset.side;
    this.input = element("input", {
      type: "file",
      multiple: true,
      accept: "image/*,video/*",
      onclick: () => (this.input.value = ""), // The same file chosen again is a choice too.
      onchange: () => this.take(this.input.files),
    });
    this.drop = element("label", { class: "drop" }, `Drop pictures or a clip of the ${name} here, or choose files`, this.input);
    this.drop.addEventListener("dragover", (event) => { event.preventDefault(); this.drop.classList.add("over"); });
    this.drop.addEventListener("dragleave", () => this.drop.classList.remove("over"));
    this.drop.addEventListener("drop", (event) => {
      event.preventDefault();
      this.drop.classList.remove("over");
      this.take(event.dataTransfer.files);
    });
    this.faces = this.choice("Face of a picture", { largest: "the largest", central: "the most central", only: "the only one", consistent: "the one like the others" });
    this.others = this.choice("Faces that differ", { warn: "warn", drop: "drop them", refuse: "refuse the set" });
    this.outcome = element("div", { "aria-live": "polite" });
    section.append(this.drop, element("div", { class: "controls" }, this.faces.label, this.others.label), this.outcome);
  }

  choice(text, options) {
    const select = element(
      "select",
      { onchange: () => this.files && this.take(this.files) },
      Object.entries(options).map(([value, said]) => element("option", { value }, said)),
    );
    return { select, label: element("label", {}, `${text} `, select) };
  }

  async take(files) {
    if (!files.length) return;
    this.files = [...files];
    this.template = null;
    this.changed();
    this.outcome.replaceChildren(element("p", { role: "status" }, `Looking at ${this.files.length} file(s)…`));
    const taken = this.files;
    try {
      const answer = await createTemplate(taken, this.faces.select.value, this.others.select.value);
      if (taken !== this.files) return; // Other files were dropped meanwhile.
      this.template = answer;
      this.show(answer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (taken !== this.files) return;
      this.refuse(problem);
    }
    this.changed();
  }

  // With another key, what was refused may not be.
  again() {
    if (this.files && !this.template) this.take(this.files);
  }

  show(answer) {
    const core = answer.samples.filter((sample) => sample.core_rank !== null).length;
    const used = answer.samples.filter((sample) => sample.status === "used").length;
    const rows = [
      ["template", answer.template_id],
      ["quality", `${number(answer.quality)} of 100`],
      ["samples", `${used} of ${answer.samples.length} used, ${core} in the core`],
      ["kept until", when(answer.expires_at)],
    ];
    this.outcome.replaceChildren(
      ...[
        element("div", { class: "summary" }, element("dl", {}, facts(rows))),
        consistencyWarning(answer),
        this.gallery(answer.samples),
        sampleTable(this.files, answer.samples),
      ].filter(Boolean),
    );
  }

  refuse(problem) {
    this.outcome.replaceChildren(
      element("p", { class: "warning", role: "alert" }, explain(problem)),
      ...(problem.samples.length ? [this.gallery(problem.samples)] : []),
    );
  }

  gallery(samples) {
    return element("ul", { class: "samples", "aria-label": "Samples" }, samples.map((sample) => sampleItem(this.files[sample.index], sample)));
  }
}
