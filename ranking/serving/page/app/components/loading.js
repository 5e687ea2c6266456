// Shown while an answer is under way; not at once, so that quick answers do not flicker.
import { html } from "../html.js";

export const Loading = ({ what = "" }) => html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>Loading ${what}…</p>`;
