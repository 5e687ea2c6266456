// The scores of a clip by each dimension, with its place in the challenge, and the attention that each modality got.
import { html } from "../../html.js";
import { Bars } from "../../components/bars.js";
import { Table } from "../../components/table.js";
import { colour, DIMENSIONS, MEANING, MODALITIES, title } from "../../dimensions.js";
import { count, fixed, percent, percentile } from "../../format.js";

export function Scores({ clip }) {
  const rows = DIMENSIONS.filter((each) => clip.scores[each] !== undefined || clip.missing.includes(each));
  const columns = [
    { label: "By", isHeader: true, value: (each) => html`<span class="dimension" style=${{ "--colour": colour(each) }}>${title(each)}</span> <span class="hint">${MEANING[each]}</span>` },
    { label: "Score", isNumber: true, value: (each) => (clip.missing.includes(each) ? html`<span class="hint">not in this clip</span>` : fixed(clip.scores[each])) },
    { label: "Rank", isNumber: true, value: (each) => rank(clip.places[each], clip.ranked_clips[each]) },
    { label: "Percentile", isNumber: true, value: (each) => percentile(clip.places[each]?.percentile) },
  ];
  const bars = MODALITIES.filter((each) => clip.attention[each] !== undefined).map((each) => ({
    label: title(each),
    note: MEANING[each],
    share: clip.attention[each],
    colour: colour(each),
  }));
  return html`<section class="card" aria-labelledby="scores-title">
      <h2 id="scores-title">Scores</h2>
      <${Table} caption="Scores of this clip and its place in its challenge" isCaptionHidden rows=${rows} columns=${columns} rowKey=${(each) => each} />
      <p class="hint">A score predicts how well a clip is received. The percentile is the share of the challenge’s clips that score lower, and half of those that score the same, this one among them.</p>
    </section>
    <section class="card" aria-labelledby="attention-title">
      <h2 id="attention-title">Attention</h2>
      <${Bars} label="Attention by modality" bars=${bars} text=${(share) => percent(share, 1)} />
      <p class="hint">How much each modality counts in the fused score of this clip.</p>
    </section>`;
}

function rank(place, of) {
  if (place === undefined) return "–";
  return `${count(place.rank)} of ${count(of)}`;
}
