// A part of a page with its own request: it loads, fails and is tried again by itself.
import { html, useId } from "../html.js";
import { Loading } from "./loading.js";
import { Problem } from "./problem.js";

/** `answer`: of `useAnswer`. `children(value)` draws the answer; what is there stays while another is under way. */
export function Section({ title, answer, children, what = "this", hint = null, className = "card" }) {
  const heading = useId();
  return html`<section class=${className} aria-labelledby=${heading} aria-busy=${answer.isLoading ? "true" : null}>
    <h2 id=${heading}>${title}</h2>
    ${hint && html`<p class="hint">${hint}</p>`}
    ${answer.error && html`<${Problem} error=${answer.error} retry=${answer.reload} />`}
    ${answer.value === null && answer.isLoading && html`<${Loading} what=${what} />`}
    ${answer.value !== null && children(answer.value)}
  </section>`;
}
