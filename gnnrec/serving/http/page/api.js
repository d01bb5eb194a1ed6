// Requests to the service, with the token of this tab where there is one.

const KEY = "gnnrec token";

/** What the service refused, or that it did not answer (status 0). */
export class Refused extends Error {
  constructor(status, message, details = [], wait = null) {
    super(message);
    this.status = status;
    this.lines = [message, ...details];
    this.wait = wait;
  }

  /** Seconds after which to ask again; null where asking again will not help. */
  get again() {
    if (this.status === 0) return 5;
    return this.status === 429 || this.status === 503 ? (this.wait ?? 2) : null;
  }

  get needsToken() {
    return this.status === 401 || this.status === 403;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

let onRefused = () => {};
/** Who is told where a token is missing, or says too little. */
export function whenRefused(listener) {
  onRefused = listener;
}

/** The answer to a request: what JSON says, and other text as it is. */
export async function ask(method, path, body, signal) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const own = token.get();
  if (own) headers.Authorization = `Bearer ${own}`;
  let answer, text;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The service does not answer. Is it still running?");
  }
  const json = (answer.headers.get("Content-Type") ?? "").startsWith("application/json");
  if (answer.ok) return json && text ? JSON.parse(text) : text;
  const told = json ? JSON.parse(text) : {};
  const wait = Number(answer.headers.get("Retry-After")) || null;
  const refused = new Refused(answer.status, told.error ?? `The service answered ${answer.status}.`, told.details, wait);
  if (refused.needsToken && own === token.get()) onRefused(refused); // else another one was given since
  throw refused;
}

export const userPath = (id) => `v1/users/${encodeURIComponent(id)}`;
