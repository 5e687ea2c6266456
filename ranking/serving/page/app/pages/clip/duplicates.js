// Clips that seem to be the same recording.
import { html } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { ChallengeLink, ClipLink, DancerLink } from "../../components/clip_links.js";
import { Section } from "../../components/section.js";
import { Table } from "../../components/table.js";
import { fixed } from "../../format.js";

export function Duplicates({ id, generation }) {
  const answer = useAnswer((signal) => get(at`/v1/clips/${id}/duplicates`, { generation }, { signal }), [id, generation]);
  return html`<${Section} title="Near-duplicates" answer=${answer} what="near-duplicates">
    ${(found) => html`<${Table} caption="Clips that seem to be the same recording" isCaptionHidden rows=${found.hits} columns=${columns(generation)}
        rowKey=${(hit) => hit.clip_id} pageSize=${10} empty="No other clip seems to be this recording." />
      <p class="hint">At a similarity of ${threshold(found.threshold)} or more${found.more ? "; there may be others" : ""}.</p>`}
  <//>`;
}

/** With so many decimals that what is below 1 does not look like 1. */
const threshold = (value) => (value < 1 && value >= 0.9995 ? String(Number(value.toPrecision(6))) : fixed(value));

const columns = (generation) => [
  { label: "Clip", isHeader: true, value: (hit) => html`<${ClipLink} id=${hit.clip_id} query=${{ generation }} />` },
  { label: "Dancer", value: (hit) => html`<${DancerLink} id=${hit.dancer_id} />` },
  { label: "Challenge", value: (hit) => html`<${ChallengeLink} id=${hit.challenge_id} />` },
  { label: "Similarity", isNumber: true, value: (hit) => fixed(hit.similarity) },
];
