// How full each tier is now.
import { html } from "../../html.js";
import { Bars } from "../../components/bars.js";
import { Table } from "../../components/table.js";
import { count, percent, plural, time } from "../../format.js";

export function Tiers({ value }) {
  const bars = value.tiers.map((tier, i) => ({
    label: tier.tier,
    note: `${count(tier.used)} of ${count(tier.capacity)} impressions`,
    share: tier.capacity > 0 ? tier.used / tier.capacity : 0,
    colour: tierColour(i),
  }));
  return html`<p>Policy <strong><bdi>${value.policy_version}</bdi></strong>, active since ${time(value.adopted_at_ms)}. Budgets are reset at ${time(value.window_end_ms)}.</p>
    <${Bars} label="Impressions granted in this window, by tier" bars=${bars} text=${(share) => percent(share)} />
    <${Table} caption="Tiers" isCaptionHidden rows=${value.tiers} columns=${COLUMNS} rowKey=${(tier) => tier.tier} />
    <p class="hint">${plural(value.candidates, "clip")} in no tier may be drawn by exploration.${" "}
      ${value.retiring > 0 ? `${plural(value.retiring, "clip")} leave tiers that this policy no longer has. ` : ""}
      ${plural(value.decisions, "decision")} so far, ${count(value.decisions - value.published)} of them not on their topic yet.</p>`;
}

/** Tiers in their order, from little to much exposure; the numbers stand beside every bar. */
export const tierColour = (index) => `var(--tier-${Math.min(index, 7)})`;

const COLUMNS = [
  { label: "Tier", isHeader: true, value: (tier) => html`<bdi>${tier.tier}</bdi>` },
  { label: "Clips", isNumber: true, value: (tier) => count(tier.clips) },
  { label: "Waiting", isNumber: true, value: (tier) => count(tier.waiting) },
  { label: "Impressions a clip", isNumber: true, value: (tier) => count(tier.exposures) },
  { label: "Left", isNumber: true, value: (tier) => count(tier.left) },
  { label: "Can enter", isNumber: true, value: (tier) => count(tier.entries) },
];
