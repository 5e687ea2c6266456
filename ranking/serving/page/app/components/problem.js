// Why something is not shown: a sentence, its code, what to do, and a way to try again.
import { html, useEffect, useErrorBoundary, useState } from "../html.js";
import { askForKey } from "../session.js";

const KEY_CODES = new Set(["no_key", "unknown_key"]);

/** `error`: an `ApiError`. `retry`: called to ask again, if that may help. */
export function Problem({ error, retry = null, what = "" }) {
  const isKey = KEY_CODES.has(error.code);
  const enterKey = async () => {
    if ((await askForKey()) !== null) retry?.();
  };
  return html`<div class="problem" role="alert">
    <p class="sentence">${what && html`<strong>${what}: </strong>`}<bdi>${error.message}</bdi></p>
    ${error.remedy && html`<p>${error.remedy}</p>`}
    <p class="actions">
      ${isKey && html`<button type="button" onClick=${enterKey}>Enter an API key</button>`}
      ${!isKey && retry && html`<button type="button" onClick=${retry}>Try again</button>`}
      ${error.retryAfterS !== null && error.retryAfterS !== undefined && html`<${Countdown} key=${error} seconds=${error.retryAfterS} />`}
      <code>${error.code}</code>
    </p>
  </div>`;
}

function Countdown({ seconds }) {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    const timer = setInterval(() => setLeft((before) => Math.max(0, before - 1)), 1000);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="hint" aria-hidden="true">${left > 0 ? `possible again in ${left} s` : "possible again now"}</span>`;
}

/** A defect of this page; the console has the rest. */
export const Defect = ({ error }) => html`<div class="problem" role="alert">
  <p class="sentence">This part of the page failed: <bdi>${String(error?.message ?? error)}</bdi></p>
  <p>Load the page again. If it fails again, report it as a defect.</p>
  <p class="actions"><button type="button" onClick=${() => location.reload()}>Load again</button></p>
</div>`;

/** Keeps a defect of one page from taking the navigation with it; another address (`at`) starts over. */
export const Boundary = ({ at, children }) => html`<${Caught} key=${at}>${children}<//>`;

function Caught({ children }) {
  const [error] = useErrorBoundary((caught) => console.error(caught));
  return error ? html`<${Defect} error=${error} />` : children;
}
