/* Requests to the daemon that serves this page. The session is a cookie that scripts cannot read. */
export const BASE = "/api/v1";

/* status 0: no answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function refusal(response) {
  try {
    const problem = await response.json();
    return [problem.title, problem.detail].filter(Boolean).join(": ");
  } catch {
    return `The daemon answered with HTTP status ${response.status}.`;
  }
}

async function request(path, options = {}) {
  let response;

  try {
    response = await fetch(BASE + path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "The daemon does not answer.");
  }
  if (!response.ok)
    throw new ApiError(response.status, await refusal(response));
  return response;
}

export async function getJson(path) {
  return (await request(path, { headers: { Accept: "application/json" } })).json();
}

export async function getText(path) {
  return (await request(path, { headers: { Accept: "text/plain" } })).text();
}

/* A change, in the name of the session: the header shows that this page asks, and no other site. Gives the answer. */
export async function send(method, path, headers = {}) {
  return (await request(path, { method, headers: { "X-Distilld-Request": "dashboard", ...headers } })).json();
}

/* For what must happen once, however often it is sent. (randomUUID is there over HTTPS alone.) */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));

  return `"${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}"`;
}

/* Exchanges the access token for a session; nothing here keeps the token. */
export async function openSession(token) {
  await request("/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
}

export async function endSession() {
  await request("/session", { method: "DELETE", headers: { "X-Distilld-Request": "dashboard" } });
}

/* Whether the daemon knows this browser no longer. */
export function isRefused(error) {
  return error.status === 401 || error.status === 403;
}

export function jobPath(id, rest = "") {
  return `/jobs/${encodeURIComponent(id)}${rest}`;
}
