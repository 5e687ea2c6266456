// Where a clip is in the traffic pools, what it waits for, and how it got there.
import { html } from "../../html.js";
import { at, getOrNull } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Section } from "../../components/section.js";
import { count, percent, plural, time } from "../../format.js";

const STATES = {
  candidate: "exploration may draw it",
  queued: "nominated, and waits for the first tier",
  "in-tier": "it is shown from there",
  held: "it waits for the next one",
  gone: "has left permanently",
  deleted: "deleted",
};

export function Pool({ id }) {
  const answer = useAnswer(async (signal) => ({ pool: await getOrNull(at`/v1/clips/${id}/pool`, {}, { signal }) }), [id]);
  return html`<${Section} title="Traffic pools" answer=${answer} what="its history in the pools">
    ${({ pool }) => (pool === null ? html`<p class="empty">The traffic pools have not decided about this clip.</p>` : html`<${Pooled} pool=${pool} />`)}
  <//>`;
}

function Pooled({ pool }) {
  return html`<p><strong>${pool.tier === null ? "In no tier" : html`In tier <bdi>${pool.tier}</bdi>`}</strong>: ${STATES[pool.state] ?? pool.state}.${" "}
      ${plural(pool.granted, "impression")} granted so far.</p>
    ${pool.needs && html`<p>${pool.needs.sentence}</p>`}
    ${pool.waiting && html`<p>It has waited for tier <bdi>${pool.waiting.tier}</bdi> since ${time(pool.waiting.since_ms)}${pool.waiting.budget && html`, because the budget <bdi>${pool.waiting.budget}</bdi> had ${plural(pool.waiting.budget_left ?? 0, "impression")} left`}.</p>`}
    ${pool.rate && pool.rate.rate !== null && html`<p class="hint">Reaction rate ${percent(pool.rate.rate, 2)} (${percent(pool.rate.low, 2)} to ${percent(pool.rate.high, 2)}), from ${plural(pool.rate.views, "impression")}.</p>`}
    <ol class="timeline" aria-label="Decisions about this clip">
      ${pool.history.map(
        (decision) => html`<li key=${decision.number} class=${`rule-${kind(decision)}`}>
          <time dateTime=${new Date(decision.decided_at_ms).toISOString()}>${time(decision.decided_at_ms)}</time>
          <span class="rule">${decision.rule}</span>
          <p>${decision.sentence}</p>
          ${decision.exposures > 0 && html`<p class="hint">${count(decision.exposures)} impressions granted; policy <bdi>${decision.policy_version}</bdi></p>`}
        </li>`,
      )}
    </ol>
    ${pool.history.length === 0 && html`<p class="empty">Nothing was decided about it yet.</p>`}`;
}

const UP = new Set(["nominated", "explored", "promoted"]);
const DOWN = new Set(["demoted", "expired", "retired", "deleted", "outside-training"]);
const kind = ({ rule }) => (UP.has(rule) ? "up" : DOWN.has(rule) ? "down" : "same");
