// Requests to the API. Every failure is an `ApiError` with a code, a sentence and what to do about it.
import { currentKey, keyAfter } from "./session.js";
import { store } from "./store.js";

/** Whether the API has answered anything yet: what is of use on every page waits for that. */
export const hasAnswered = store(false);

/** `remedy`: what a person can do. `retryAfterS`: when a later try may succeed, `null` if it would not. */
export class ApiError extends Error {
  constructor({ status, code, message, parameter = null, retryAfterS = null }) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.parameter = parameter;
    this.retryAfterS = retryAfterS;
  }

  get remedy() {
    return REMEDIES[this.code] ?? BY_STATUS[this.status] ?? "";
  }
}

const REMEDIES = {
  unreachable: "Check that the server runs and that this device is connected.",
  no_key: "Enter an API key. An operator makes one with “dancerank keys create”.",
  unknown_key: "Enter another API key. “dancerank keys list” shows the active ones.",
  rate_limited: "Wait, or ask an operator for a higher limit.",
  not_served_here: "Ask a process that serves it.",
  features_not_kept: "", // the sentence says it
  skeleton_missing: "",
  not_ready: "This is tried again.",
  too_many_at_once: "Others have their turn first.",
  malformed_answer: "A proxy may have answered instead of the server; check the address.",
};
const BY_STATUS = {
  404: "It may have been deleted, or not been scored yet. Check the spelling, or choose from a list.",
  422: "Correct the value.",
  500: "The log of the service has the details.",
  503: "The service is starting, or its database does not answer. This is tried again.",
};

/** A path whose identifiers are encoded: at`/v1/clips/${id}`. It is relative, so that it works below a proxy's prefix. */
export function at(parts, ...identifiers) {
  const path = parts.reduce((before, part, i) => before + encodeURIComponent(identifiers[i - 1]) + part);
  return path.replace(/^\//, "");
}

/** `path` with the parameters that have a value; a list is repeated. */
export function withQuery(path, query = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const each of [value].flat()) pairs.append(name, String(each));
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/** The JSON that `path` answers; `null` where it has nothing to answer. */
export const getOrNull = async (path, query, options) => {
  const response = await request(withQuery(path, { ...query, or_none: true }), { method: "GET" }, options);
  return response.status === 204 ? null : response.json();
};

/** The JSON that `path` answers. */
export const get = async (path, query, options) => (await request(withQuery(path, query), { method: "GET" }, options)).json();

/** The JSON that `path` answers to `body`. */
export const post = async (path, body, options) =>
  (await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }, options)).json();

/** The response itself, for pictures and for what is read as it comes. */
export const getResponse = (path, query, options) => request(withQuery(path, query), { method: "GET" }, options);

/**
 * The response to a POST of `file`. `onSent(bytes)` is called as it is sent, which fetch does not tell.
 *
 * @param {string} path relative
 * @param {File} file
 * @param {{type: string, signal?: AbortSignal, onSent: (bytes: number) => void}} options
 */
export const upload = (path, file, { type, signal, onSent }) =>
  request(path, { method: "POST", headers: { "Content-Type": type }, body: file }, { signal, send: sending(onSent) });

/** What `fetch` does, for the requests above. */
const sending = (onSent) => (path, { method, headers, body, signal }) =>
  new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    const abort = () => sent.abort();
    sent.open(method, path);
    for (const [name, value] of Object.entries(headers)) sent.setRequestHeader(name, value);
    sent.upload.addEventListener("progress", (event) => onSent(event.loaded));
    sent.addEventListener("load", () => {
      const retryAfter = sent.getResponseHeader("Retry-After");
      const body = sent.status === 204 ? null : sent.responseText;
      resolve(new Response(body, { status: sent.status, headers: retryAfter === null ? {} : { "Retry-After": retryAfter } }));
    });
    for (const failure of ["error", "abort", "timeout"]) sent.addEventListener(failure, () => reject(new TypeError(failure)));
    signal?.addEventListener("abort", abort, { once: true });
    sent.addEventListener("loadend", () => signal?.removeEventListener("abort", abort));
    sent.send(body);
  });

/**
 * @param {string} path relative
 * @param {RequestInit} init
 * @param {{signal?: AbortSignal, send?: typeof fetch}} options
 */
export async function request(path, init, { signal, send = fetch } = {}) {
  for (;;) {
    const key = currentKey();
    const headers = { ...init.headers, ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
    let response;
    try {
      response = await send(path, { ...init, headers, signal, credentials: "same-origin" });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError({ status: 0, code: "unreachable", message: "The server does not answer.", retryAfterS: 5 });
    }
    if (response.ok) {
      if (!hasAnswered.get()) hasAnswered.set(true);
      return response;
    }
    const error = await errorOf(response);
    if (response.status !== 401) throw error;
    const given = await keyAfter(key, key === null ? "" : error.message);
    if (given === null) throw error;
  }
}

async function errorOf(response) {
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfterS = Number.isFinite(seconds) ? seconds : null;
  try {
    const { code, message, parameter } = (await response.json()).error;
    return new ApiError({ status: response.status, code, message, parameter, retryAfterS });
  } catch {
    const message = `The server answered ${response.status} and not in the API's form.`;
    return new ApiError({ status: response.status, code: "malformed_answer", message, retryAfterS });
  }
}
