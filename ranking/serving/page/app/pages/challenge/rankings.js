// The rankings of a challenge by the fused score and by each modality, side by side; each is paged by itself.
import { html, useEffect, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { announce } from "../../components/announce.js";
import { ClipLink } from "../../components/clip_links.js";
import { Section } from "../../components/section.js";
import { Pager } from "../../components/table.js";
import { DIMENSIONS, MEANING, ROUTINE, title } from "../../dimensions.js";
import { count, fixed, percentile } from "../../format.js";
import { NoneRanked } from "./none.js";

const PAGE = 10;

export const Rankings = (asked) => html`<div class="rankings" role="region" aria-label="Rankings" tabindex="0">
  ${DIMENSIONS.map((dimension) => html`<${RankingBy} key=${dimension} dimension=${dimension} ...${asked} />`)}
</div>`;

function RankingBy({ id, dimension, window, order, style, generation, version, areOutside }) {
  // The last clip of each page before, for the way back: pages go from clip to clip, however many there are.
  const [before, setBefore] = useState([]);
  useEffect(() => setBefore([]), [id, window, order, style, generation, version]);
  const after = before.at(-1) ?? null;
  const answer = useAnswer(
    (signal) => get(at`/v1/challenges/${id}/rankings`, { by: dimension, window, order, style, k: PAGE, generation, after }, { signal }),
    [id, dimension, window, order, style, generation, after, version],
  );
  // A clip of the page before may have been deleted.
  useEffect(() => {
    if (answer.error?.parameter === "after") setBefore([]);
  }, [answer.error]);
  const turn = (pages) => {
    setBefore(pages);
    announce(`${title(dimension)}: page ${count(pages.length + 1)}`);
  };
  if (dimension === ROUTINE && !answer.value?.clips) return null; // few challenges have clips that are so long
  return html`<${Section} title=${title(dimension)} hint=${`by ${MEANING[dimension]}`} answer=${answer} what="the ranking">
    ${(ranking) => html`<${Page} ranking=${ranking} dimension=${dimension} generation=${generation} areOutside=${areOutside} first=${before.length * PAGE + 1}
      previous=${before.length ? () => turn(before.slice(0, -1)) : null}
      next=${before.length * PAGE + ranking.entries.length < ranking.clips && ranking.entries.length ? () => turn([...before, ranking.entries.at(-1).clip_id]) : null} />`}
  <//>`;
}

function Page({ ranking, dimension, generation, areOutside, first, previous, next }) {
  if (ranking.clips === 0) return html`<${NoneRanked} window=${ranking.window} areOutside=${areOutside} />`;
  return html`<p class="ranking-head hint" aria-hidden="true"><span>clip</span><span class="number">score</span><span>dancer</span><span class="number">percentile</span></p>
    <ol class="ranking" start=${first} aria-label="Ranking by ${dimension}">
      ${ranking.entries.map(
        (clip) => html`<li key=${clip.clip_id}>
          <span class="rank number" title="Rank">${count(clip.rank)}</span>
          <span class="who"><${ClipLink} id=${clip.clip_id} query=${generation === null ? {} : { generation }} /></span>
          <span class="number score" style=${{ color: `var(--${dimension})` }} title="Score"><span class="visually-hidden">score </span>${fixed(clip.score)}</span>
          <span class="dancer hint"><bdi>${clip.dancer_id}</bdi></span>
          <span class="number hint" title="Percentile in the challenge"><span class="visually-hidden">percentile </span>${percentile(clip.percentile)}</span>
        </li>`,
      )}
    </ol>
    <${Pager} label="ranking by ${dimension}" previous=${previous} next=${next}>
      ${count(first)}–${count(first + ranking.entries.length - 1)} of ${count(ranking.clips)}
    <//>`;
}
