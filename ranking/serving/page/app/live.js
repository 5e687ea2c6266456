// Live events of the API. They are read with fetch, because an EventSource sends no API key.
import { request, withQuery } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";

const FIRST_WAIT_S = 3;
const LONGEST_WAIT_S = 60;

/**
 * Calls `onEvent({name, data})` for each event of `challenge`, or of all, until `signal` is aborted, and
 * `onState("connecting" | "open" | "waiting", error)`. It reconnects, continues after the last event, and rests while
 * the tab is in the background.
 */
export async function listen({ challenge = null, onEvent, onState, signal }) {
  let lastId = null;
  let waitS = FIRST_WAIT_S;
  while (!signal.aborted) {
    await untilVisible(signal);
    if (signal.aborted) return;
    const watched = whileVisible(signal);
    onState("connecting", null);
    let error = null;
    try {
      const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
      const path = withQuery("v1/events", { challenge });
      const response = await request(path, { method: "GET", headers }, { signal: watched.signal });
      onState("open", null);
      waitS = FIRST_WAIT_S;
      for await (const event of eventsOf(response.body)) {
        lastId = event.id ?? lastId;
        onEvent(event);
      }
    } catch (caught) {
      error = caught;
    } finally {
      watched.end();
    }
    if (signal.aborted) return;
    if (document.hidden) continue;
    if (error !== null && error.code !== undefined && error.retryAfterS === null) {
      onState("waiting", error); // no later try would succeed
      return;
    }
    onState("waiting", error);
    await pause(Math.max(waitS, error?.retryAfterS ?? 0), signal);
    waitS = Math.min(2 * waitS, LONGEST_WAIT_S);
  }
}

/** The events in a body, as the HTML standard reads them: `{id, name, data}` with data from JSON. */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let fields = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (fields.data !== undefined) yield { id: fields.id ?? null, name: fields.event ?? "message", data: JSON.parse(fields.data) };
        fields = {};
      } else if (!line.startsWith(":")) {
        const [name, text = ""] = line.split(/: ?(.*)/s);
        fields[name] = name === "data" && fields.data !== undefined ? `${fields.data}\n${text}` : text;
      }
    }
  }
}

/**
 * Listens while the component is there: `onEvent` is called with each event. `isOn`: whether to listen at all.
 * Returns `{state, error}`.
 */
export function useLive({ challenge = null, onEvent, isOn = true }) {
  const [status, setStatus] = useState({ state: "connecting", error: null });
  const latest = useRef(onEvent);
  latest.current = onEvent;
  useEffect(() => {
    if (!isOn) return undefined;
    const controller = new AbortController();
    listen({
      challenge,
      onEvent: (event) => latest.current(event),
      onState: (state, error) => !controller.signal.aborted && setStatus({ state, error }),
      signal: controller.signal,
    });
    return () => controller.abort();
  }, [challenge, isOn]);
  return status;
}

function untilVisible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

/** A signal that is aborted with `signal`, or once the tab is hidden. */
function whileVisible(signal) {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const look = () => document.hidden && stop();
  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", stop);
  const end = () => {
    document.removeEventListener("visibilitychange", look);
    signal.removeEventListener("abort", stop);
  };
  return { signal: controller.signal, end };
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
