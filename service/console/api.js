// Every call to the service. The key stays in this tab's session storage, and travels in the header alone.

const KEY = "coreface-api-key";

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || `The service answered ${status}.`);
    this.status = status;
    this.code = document.code || "";
    this.samples = document.samples || [];
    this.checks = document.checks || [];
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

async function send(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  try {
    return await fetch(path, { ...options, headers });
  } catch {
    throw new Problem(0, { code: "unreachable", detail: "The service does not answer. Is it running?" });
  }
}

export async function ask(path, options) {
  const response = await send(path, options);
  if (response.status === 204) return null;
  let document;
  try {
    document = await response.json();
  } catch {
    document = {};
  }
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}

export const askText = async (path) => {
  const response = await send(path);
  if (!response.ok) throw new Problem(response.status, {});
  return response.text();
};

const asJson = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const createTemplate = (files, facePolicy, consistencyPolicy) => {
  const form = new FormData();
  for (const file of files) form.append("samples", file, file.name);
  form.append("face_policy", facePolicy);
  form.append("consistency_policy", consistencyPolicy);
  return ask("/v1/templates", { method: "POST", body: form });
};

export const getTemplate = (id) => ask(`/v1/templates/${encodeURIComponent(id)}`);
export const listTemplates = (cursor) => ask(`/v1/templates?limit=50&cursor=${encodeURIComponent(cursor)}`);
export const eraseTemplate = (id) => ask(`/v1/templates/${encodeURIComponent(id)}`, { method: "DELETE" });
export const expireTemplate = (id, seconds) =>
  ask(`/v1/templates/${encodeURIComponent(id)}/expiry?seconds=${seconds}`, { method: "PUT" });
export const currentPack = () => ask("/v1/packs/current");
// Of pairs, because single comparisons that fail count against a template (its lock-out).
export const comparePair = async (reference, probe, point, scores) => {
  const body = { pairs: [{ reference, probe }], operating_point: point, scores };
  const answer = await ask("/v1/verify/batch", asJson(body));
  return answer.results[0];
};
export const verify = (reference, probe, point) =>
  ask("/v1/verify", asJson({ reference: { template_id: reference }, probe: { template_id: probe }, operating_point: point }));
