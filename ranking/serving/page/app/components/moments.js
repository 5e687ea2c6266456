// The moments of a clip where moving raises the score most, each with a sentence.
import { html } from "../html.js";
import { number } from "../format.js";
import { announce } from "./announce.js";

/** `guidance`: an answer of /guidance. `show(moment)` is called with the one that was chosen. */
export function Moments({ guidance, show }) {
  const choose = (moment) => {
    show(moment);
    announce(`At ${moment.time_s.toFixed(1)} seconds: ${moment.sentence}`);
  };
  if (guidance.critical_frames.length === 0) return html`<p class="empty">No movement would change this score.</p>`;
  return html`<ol class="moments" aria-label="Critical moments">
      ${guidance.critical_frames.map(
        (moment) => html`<li key=${moment.frame}>
          <button type="button" onClick=${() => choose(moment)}><span class="number">${moment.time_s.toFixed(1)} s</span> <span>${moment.sentence}</span></button>
        </li>`,
      )}
    </ol>
    <p class="hint">The score is ${number(guidance.score)}. These are the moments where a small movement changes the score most, by the model’s gradient. Choose one to see it.</p>`;
}
