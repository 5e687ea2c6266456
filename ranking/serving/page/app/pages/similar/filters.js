// Which clips may be hits.
import { html, useEffect, useId, useRef, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { DIMENSIONS, title } from "../../dimensions.js";
import { plural, styleName } from "../../format.js";

const QUIET_MS = 300;
const MOST_OFFERED = 500;
const nothing = () => null;

/** `onChange(changes)` of the question. */
export function Filters({ question, onChange }) {
  const challengesId = useId();
  // Only to choose from: without these lists the fields take what is typed.
  const challenges = useAnswer((signal) => get("v1/challenges", {}, { signal }).catch(nothing), []);
  const pools = useAnswer((signal) => get("v1/pools", {}, { signal }).catch(nothing), []);
  const within = challenges.value?.some((each) => each.challenge_id === question.challenge) ? question.challenge : null;
  const styles = useAnswer(
    (signal) => get(within === null ? "v1/styles" : at`/v1/challenges/${within}/styles`, {}, { signal }).catch(nothing),
    [within],
  );
  const clipsOf = new Map([...(question.style ? [[question.style, 0]] : []), ...(styles.value?.styles ?? []).map((each) => [each.style, each.clips])]);
  const tiers = pools.value?.tiers.map((each) => each.tier) ?? [];
  return html`<form class="filters similar-filters" aria-label="Which clips may be hits" onSubmit=${(event) => event.preventDefault()}>
    <label>Challenge <${Typed} value=${question.challenge} list=${challengesId} maxlength="128" onChange=${(challenge) => onChange({ challenge })} /></label>
    <datalist id=${challengesId}>${challenges.value?.slice(0, MOST_OFFERED).map((each) => html`<option key=${each.challenge_id} value=${each.challenge_id}></option>`)}</datalist>
    <label>Uploaded from <input type="date" value=${question.from} onChange=${(event) => onChange({ from: event.target.value })} /></label>
    <label>Uploaded until <input type="date" value=${question.to} onChange=${(event) => onChange({ to: event.target.value })} /></label>
    <label>Lowest percentile <${Typed} type="number" min="0" max="100" value=${question.low} onChange=${(low) => onChange({ low: bounded(low, 0) })} /></label>
    <label>Highest percentile <${Typed} type="number" min="0" max="100" value=${question.high} onChange=${(high) => onChange({ high: bounded(high, 100) })} /></label>
    <label>Percentile by
      <select value=${question.by} onChange=${(event) => onChange({ by: event.target.value })}>${DIMENSIONS.map((each) => html`<option key=${each} value=${each}>${title(each)}</option>`)}</select>
    </label>
    <label>Tier
      <select value=${question.tier} onChange=${(event) => onChange({ tier: event.target.value })}>
        <option value="">any, or none</option>
        ${[...new Set([...tiers, ...(question.tier ? [question.tier] : [])])].map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
      </select>
    </label>
    ${clipsOf.size > 0 &&
    html`<label>Dance style
      <select value=${question.style} onChange=${(event) => onChange({ style: event.target.value })}>
        <option value="">any, or none</option>
        ${[...clipsOf].map(([each, clips]) => html`<option key=${each} value=${each}>${styleName(each)} (${plural(clips, "clip")})</option>`)}
      </select>
    </label>`}
    <label class="check"><input type="checkbox" checked=${question.group === "dancer"} onChange=${(event) => onChange({ group: event.target.checked ? "dancer" : "clip" })} /> The best clip of each dancer only</label>
    <label class="check"><input type="checkbox" checked=${question.own} onChange=${(event) => onChange({ own: event.target.checked })} /> Also other clips of the same dancer</label>
  </form>`;
}

/** A field whose value counts when nothing was typed for a moment. */
function Typed({ value, onChange, ...rest }) {
  const [shown, setShown] = useState(String(value));
  const timer = useRef(null);
  useEffect(() => setShown(String(value)), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (event) => {
    const next = event.target.value;
    setShown(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next), QUIET_MS);
  };
  return html`<input ...${rest} value=${shown} onInput=${type} />`;
}

function bounded(text, otherwise) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? Math.max(0, Math.min(100, value)) : otherwise;
}
