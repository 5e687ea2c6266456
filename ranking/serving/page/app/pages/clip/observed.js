// What was predicted of a clip, against how it was received.
import { html } from "../../html.js";
import { at, getOrNull } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Bars } from "../../components/bars.js";
import { Section } from "../../components/section.js";
import { count, duration, number, percentile, plural, time } from "../../format.js";

export function Observed({ id, clip }) {
  const answer = useAnswer(async (signal) => ({ seen: await getOrNull(at`/v1/clips/${id}/observed`, {}, { signal }) }), [id]);
  return html`<${Section} title="Predicted against observed" answer=${answer} what="how it was received">
    ${({ seen }) => (seen === null ? html`<p class="empty">The reactions to this clip have not been counted yet.</p>` : html`<${Compared} seen=${seen} place=${clip?.places.fused} />`)}
  <//>`;
}

function Compared({ seen, place }) {
  const bars = [
    ...(place ? [{ label: "Predicted", note: "percentile of the fused score", share: place.percentile / 100, colour: "var(--fused)" }] : []),
    { label: "Observed", note: `percentile of its virality among ${plural(seen.clips, "counted clip")}`, share: seen.percentile / 100, colour: "var(--accent)" },
  ];
  return html`<${Bars} label="Percentiles in the challenge" bars=${bars} text=${(share) => percentile(share * 100)} />
    ${place && html`<p class="verdict">${verdict(place.percentile, seen)}</p>`}
    <dl class="facts">
      ${facts(seen).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="number">${value}</dd></div>`)}
    </dl>
    <p class="hint">Counted ${time(seen.observed_at_ms)}, when it was ${age(seen.days_online)} old. Virality is that of Eq. (1).</p>`;
}

const age = (days) => (days < 1 ? duration(days * 86400) : plural(Number(days.toFixed(1)), "day"));

const facts = (seen) => [
  ["Likes", count(seen.likes)],
  ["Comments", count(seen.comments)],
  ["Reposts", count(seen.reposts)],
  ["Impressions", count(seen.views)],
  ["Virality", number(seen.virality)],
  ["Rank", `${count(seen.rank)} of ${count(seen.clips)}`],
];

function verdict(predicted, seen) {
  if (seen.clips < 2) return "No other clip of the challenge has been counted yet, so there is nothing to compare it with.";
  const difference = seen.percentile - predicted;
  if (Math.abs(difference) < 10) return "It was received about as predicted.";
  return `It was received ${difference > 0 ? "better" : "worse"} than predicted, by ${percentile(Math.abs(difference))} percentage points.`;
}
