// Decisions as they are made, newest first; they can be stopped, and older ones asked for.
import { html, useEffect, useId, useState } from "../../html.js";
import { get } from "../../api.js";
import { useAnswer, useRequest } from "../../answers.js";
import { announce } from "../../components/announce.js";
import { Loading } from "../../components/loading.js";
import { Problem } from "../../components/problem.js";
import { plural, time } from "../../format.js";
import { useLive } from "../../live.js";
import { href } from "../../router.js";

const PAGE = 20;
const MOST_SHOWN = 200;

export function Decisions() {
  const heading = useId();
  const first = useAnswer((signal) => get("v1/pools/decisions", { k: PAGE }, { signal }), []);
  const [shown, setShown] = useState([]);
  const [held, setHeld] = useState([]);
  const [cursor, setCursor] = useState(null);
  const [isPaused, setIsPaused] = useState(false);
  const older = useRequest();
  useEffect(() => {
    if (first.value === null) return;
    setShown((before) => merged(before, first.value.decisions));
    setCursor(first.value.next_cursor);
  }, [first.value]);
  const live = useLive({
    onEvent: ({ name, data }) => {
      if (name === "skipped") first.reload();
      if (name !== "decision") return;
      if (isPaused) setHeld((before) => merged(before, [data]).slice(0, MOST_SHOWN));
      else setShown((before) => merged(before, [data]).slice(0, MOST_SHOWN));
    },
    isOn: first.value !== null,
  });
  const toggle = () => {
    if (isPaused) setShown((before) => merged(before, held).slice(0, MOST_SHOWN));
    setHeld([]);
    setIsPaused(!isPaused);
    announce(isPaused ? "New decisions are shown." : "Paused. New decisions are counted.");
  };
  const showOlder = () =>
    older.ask((signal) => get("v1/pools/decisions", { k: PAGE, after: cursor }, { signal }), (page) => {
      setShown((before) => merged(before, page.decisions));
      setCursor(page.next_cursor);
      announce(`${plural(page.decisions.length, "older decision")} shown.`);
    });
  return html`<section class="card" aria-labelledby=${heading}>
    <h2 id=${heading}>Decisions</h2>
    <p class="actions">
      <button type="button" aria-pressed=${isPaused} onClick=${toggle}>Pause</button>
      <span class="hint" role="status">${stateOf(live, isPaused, held.length)}</span>
    </p>
    ${first.error && html`<${Problem} error=${first.error} retry=${first.reload} />`}
    ${first.value === null && first.isLoading && html`<${Loading} what="the decisions" />`}
    ${first.value !== null && shown.length === 0 && html`<p class="empty">Nothing has been decided yet. Decisions appear here as they are made.</p>`}
    <div class="decisions" role="log" aria-live=${isPaused ? "off" : "polite"} aria-relevant="additions" aria-label="Decisions, newest first" tabindex="0">
      <ol>${shown.map((each) => html`<${Decision} key=${each.sequence} listed=${each} />`)}</ol>
    </div>
    ${older.error && html`<${Problem} error=${older.error} />`}
    ${cursor !== null && html`<button type="button" onClick=${showOlder}>Older decisions</button>`}
  </section>`;
}

function Decision({ listed }) {
  const { decision } = listed;
  return html`<li>
    <a href=${href(["clips", decision.clip_id])}><bdi>${decision.clip_id}</bdi></a>
    <span>${decision.sentence}</span>
    <span class="hint">${time(decision.decided_at_ms)}${listed.challenge_id && html` in <a href=${href(["challenges", listed.challenge_id])}><bdi>${listed.challenge_id}</bdi></a>`}</span>
  </li>`;
}

/** Each once, by their numbers, newest first. */
export function merged(before, more) {
  const known = new Map([...before, ...more].map((each) => [each.sequence, each]));
  return [...known.values()].sort((a, b) => b.sequence - a.sequence);
}

function stateOf({ state, error }, isPaused, held) {
  if (isPaused) return `Paused; ${plural(held, "new decision")} meanwhile`;
  if (state === "open") return "Live";
  if (state === "waiting") return error === null ? "The connection ended; it is opened again" : `Not live: ${error.message}`;
  return "Connecting";
}
