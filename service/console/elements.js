// Elements from text: nothing that a file or the service says is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const element = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const drawn = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
export const byId = (id) => document.getElementById(id);
// Through the object model: the page's policy allows no style in attributes.
export const withWidth = (node, share) => {
  node.style.width = `${(100 * share).toFixed(1)}%`;
  return node;
};

export const number = (value, digits = 0) => (value === null || value === undefined ? "-" : value.toFixed(digits));
export const when = (instant) => new Date(instant).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const facts = (rows) => rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]);

export function tell(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.hidden = !text;
}

export const explain = (problem) =>
  problem.code === "unauthenticated"
    ? "This service asks for an API key: type it in at the top, then try again."
    : `${problem.message}${problem.code ? ` (${problem.code})` : ""}`;
