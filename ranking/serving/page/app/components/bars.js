// A few shares as bars with their numbers beside them.
import { html } from "../html.js";
import { percent } from "../format.js";

/** `bars`: `{label, share, colour?, note?}` with a share of 1; `most` is the share of a full bar. `text(share)`. */
export function Bars({ label, bars, most = 1, text = percent }) {
  return html`<dl class="bars" aria-label=${label}>
    ${bars.map(
      (bar) => html`<div key=${bar.label}>
        <dt>${bar.label}${bar.note && html` <span class="hint">${bar.note}</span>`}</dt>
        <dd>
          <span class="track" aria-hidden="true"><span class="fill" style=${{ width: `${width(bar.share, most)}%`, background: bar.colour ?? "var(--accent)" }}></span></span>
          <span class="number">${text(bar.share)}</span>
        </dd>
      </div>`,
    )}
  </dl>`;
}

const width = (share, most) => (most > 0 ? Math.max(0, Math.min(100, (100 * share) / most)) : 0);
