// Skeletons for small pictures: few requests at once, and what was fetched is kept for a while.
import { at, get } from "../api.js";

const AT_ONCE = 4;
const KEPT = 200;
const kept = new Map(); // id → answer, the oldest first
const waiting = [];
let running = 0;

/** A promise of an answer of /skeleton. Aborted before its turn, it asks for nothing. */
export function skeletonOf(id, rateHz, signal) {
  const name = JSON.stringify([id, rateHz]);
  if (kept.has(name)) return Promise.resolve(kept.get(name));
  return new Promise((resolve, reject) => {
    waiting.push({ name, id, rateHz, signal, resolve, reject });
    next();
  });
}

function next() {
  while (running < AT_ONCE && waiting.length > 0) {
    const asked = waiting.shift();
    if (asked.signal.aborted) {
      asked.reject(new DOMException("not wanted any more", "AbortError"));
      continue;
    }
    running += 1;
    get(at`/v1/clips/${asked.id}/skeleton`, { rate_hz: asked.rateHz }, { signal: asked.signal })
      .then((answer) => {
        kept.set(asked.name, answer);
        if (kept.size > KEPT) kept.delete(kept.keys().next().value);
        asked.resolve(answer);
      }, asked.reject)
      .finally(() => {
        running -= 1;
        next();
      });
  }
}
