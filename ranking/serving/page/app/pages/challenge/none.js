// What is said where no clip is ranked.
import { html } from "../../html.js";

export const NoneRanked = ({ window, areOutside = false }) =>
  html`<p class="empty">${areOutside ? OUTSIDE : window === "all" ? "No clip of this challenge is ranked by this." : "No clip that is ranked by this was uploaded in this time."}</p>`;

const OUTSIDE = "All clips lie outside what the model was trained on, so none is ranked.";
