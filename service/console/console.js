// The console: three pages over the service's own API.

import { apiKey, currentPack, Problem } from "./api.js";
import { Comparison } from "./comparison.js";
import { byId, explain, tell } from "./elements.js";
import { Service } from "./service.js";
import { Side } from "./side.js";
import { Templates } from "./templates.js";

const PAGES = ["compare", "templates", "service"];
const THEME = "coreface-theme";

const comparison = new Comparison(byId("comparison"));
const templates = new Templates();
const service = new Service();
const sides = {};

async function changed() {
  const { reference, probe } = sides;
  if (!reference?.template || !probe?.template) {
    comparison.hide();
    return;
  }
  try {
    tell("");
    await comparison.compare(await currentPack(), reference.template.template_id, probe.template.template_id);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    tell(explain(problem));
  }
}

for (const section of document.querySelectorAll(".side")) sides[section.dataset.side] = new Side(section, changed);

function open() {
  const page = PAGES.find((name) => location.hash === `#${name}`) || PAGES[0];
  tell("");
  for (const name of PAGES) byId(`page-${name}`).hidden = name !== page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  service.close();
  if (page === "templates") templates.open();
  if (page === "service") service.open();
}

function wear(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("api-key").value = apiKey.get();
byId("api-key").addEventListener("change", (event) => {
  apiKey.set(event.target.value.trim());
  open();
  for (const side of Object.values(sides)) side.again();
});
byId("theme").value = localStorage.getItem(THEME) || "auto";
byId("theme").addEventListener("change", (event) => {
  localStorage.setItem(THEME, event.target.value);
  wear(event.target.value);
});
wear(byId("theme").value);
// A file that misses its place must not replace the page.
for (const event of ["dragover", "drop"]) window.addEventListener(event, (happened) => happened.preventDefault());
window.addEventListener("hashchange", open);
open();
