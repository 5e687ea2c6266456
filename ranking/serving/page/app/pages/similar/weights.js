// Sliders: how much each modality matters, and below zero that the hits should differ in it.
import { html, useEffect, useRef, useState } from "../../html.js";
import { colour, MEANING, MODALITIES, ROUTINE, title } from "../../dimensions.js";

const QUIET_MS = 250;

/**
 * `onChange(weights)` is called with those of all sliders when one has been still for a moment. `hasRoutine`: there is one for
 * routines.
 */
export function Weights({ weights, hasRoutine, onChange }) {
  const offered = MODALITIES.filter((each) => each !== ROUTINE || hasRoutine);
  const [shown, setShown] = useState(weights);
  const timer = useRef(null);
  // The address may change by itself: back, or a reset.
  useEffect(() => setShown(weights), [JSON.stringify(weights)]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const move = (name, value) => {
    const next = { ...shown, [name]: value };
    setShown(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(Object.fromEntries(offered.map((each) => [each, next[each]]))), QUIET_MS);
  };
  const reset = () => {
    clearTimeout(timer.current);
    onChange(Object.fromEntries(MODALITIES.map((each) => [each, 1])));
  };
  return html`<fieldset class="weights">
    <legend>What counts</legend>
    ${offered.map(
      (each) => html`<label key=${each}>
        <span><span class="dimension" style=${{ "--colour": colour(each) }}>${title(each)}</span> <span class="hint">${MEANING[each]}</span></span>
        <input type="range" min="-1" max="1" step="0.1" value=${shown[each]} aria-valuetext=${inWords(shown[each])}
          onInput=${(event) => move(each, Number(event.target.value))} />
        <output>${signed(shown[each])}</output>
      </label>`,
    )}
    <button type="button" onClick=${reset}>Reset the weights</button>
  </fieldset>`;
}

const signed = (weight) => (weight > 0 ? `+${weight}` : weight < 0 ? `−${-weight}` : "0");
const inWords = (weight) => (weight === 0 ? "does not count" : `${signed(weight)}, ${weight > 0 ? "alike" : "unlike"}`);
