// The next better and the next worse clips in the challenge, by a dimension.
import { html, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Choice } from "../../components/choice.js";
import { ClipLink, DancerLink } from "../../components/clip_links.js";
import { Section } from "../../components/section.js";
import { Table } from "../../components/table.js";
import { title } from "../../dimensions.js";
import { count, fixed, percentile } from "../../format.js";

export function Neighbours({ id, generation, dimensions }) {
  const [by, setBy] = useState(dimensions.includes("fused") ? "fused" : dimensions[0]);
  const answer = useAnswer((signal) => get(at`/v1/clips/${id}/neighbours`, { by, k: 4, generation }, { signal }), [id, by, generation]);
  const options = Object.fromEntries(dimensions.map((each) => [each, title(each)]));
  return html`<${Section} title="Around it in the ranking" answer=${answer} what="its neighbours">
    ${(found) => html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
        <${Choice} legend="Ranked by" options=${options} value=${by} onChoose=${setBy} />
      </form>
      <${Table} caption="The next better and the next worse clips, of ${count(found.clips)}" rows=${[...found.above.toReversed(), found.clip, ...found.below]}
        columns=${columns(id, generation)} rowKey=${(clip) => clip.clip_id} />`}
  <//>`;
}

const columns = (id, generation) => [
  { label: "Rank", isNumber: true, value: (clip) => count(clip.rank) },
  { label: "Clip", isHeader: true, value: (clip) => (clip.clip_id === id ? html`<strong><bdi>${id}</bdi></strong> <span class="hint">this clip</span>` : html`<${ClipLink} id=${clip.clip_id} query=${{ generation }} />`) },
  { label: "Dancer", value: (clip) => html`<${DancerLink} id=${clip.dancer_id} />` },
  { label: "Percentile", isNumber: true, value: (clip) => percentile(clip.percentile) },
  { label: "Score", isNumber: true, value: (clip) => fixed(clip.score) },
];
