// Two people's pictures become templates and are compared: walk.mjs URL FOLDER FOLDER

import { openAsBlob } from "node:fs";
import { readdir } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";

const [url, oneFolder, otherFolder] = process.argv.slice(2);
const key = process.env.COREFACE_API_KEY;
const PASSING = [429, 502, 503, 504];

// Sent again where a moment may help: what changes something carries an idempotency key, so that it does no harm.
async function ask(path, options = {}, attempts = 4) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(url + path, { ...options, headers, signal: AbortSignal.timeout(60_000) });
  if (PASSING.includes(response.status) && attempts > 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * Number(response.headers.get("Retry-After") ?? 1)));
    return ask(path, options, attempts - 1);
  }
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.detail), { code: answer.code });
  return answer;
}

async function enrol(folder) {
  const form = new FormData();
  for (const name of (await readdir(folder)).sort()) form.append("samples", await openAsBlob(join(folder, name)), basename(name));
  return ask("/v1/templates", { method: "POST", body: form, headers: { "Idempotency-Key": randomUUID() } });
}

const one = await enrol(oneFolder);
const other = await enrol(otherFolder);

for (const [name, probe] of [["itself", one], ["the other", other]]) {
  const body = { reference: { template_id: one.template_id }, probe: { template_id: probe.template_id }, operating_point: "fmr_1e-2" };
  const answer = await ask("/v1/verify", { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  console.log(`with ${name}: ${answer.decision} at ${answer.operating_point}`);
}

// A refusal is a problem document with a stable code, and never a decision.
await ask(`/v1/templates/${"A".repeat(22)}`).catch((problem) => console.log(`refused: ${problem.code}`));

for (const template of [one, other]) await ask(`/v1/templates/${template.template_id}`, { method: "DELETE" });
await ask(`/v1/templates/${one.template_id}`).catch((problem) => console.log(`erased: ${problem.code}`));
