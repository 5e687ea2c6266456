// What is said where no clip is ranked.
import { html } from "../../html.js";

export const NoneRanked = ({ window }) =>
  html`<p class="empty">${window === "all" ? "No clip of this challenge is ranked by this." : "No clip that is ranked by this was uploaded in this time."}</p>`;
