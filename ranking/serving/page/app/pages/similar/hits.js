// The clips that were found: how each moves, in what it is alike, and whether there should be more like it.
import { html, useEffect, useRef, useState } from "../../html.js";
import { ChallengeLink, ClipLink, DancerLink } from "../../components/clip_links.js";
import { SkeletonThumbnail } from "../../components/skeleton.js";
import { colour, MODALITIES, title } from "../../dimensions.js";
import { fixed } from "../../format.js";
import { skeletonOf } from "../../skeletons/fetching.js";
import { watchVisibility } from "../../skeletons/loop.js";

const RATE_HZ = 8;

export const Hits = ({ hits, isMoving, generation, onLike, onUnlike }) => html`<ol class="hits" aria-label="Similar clips">
  ${hits.map((hit) => html`<${Hit} key=${hit.clip_id} hit=${hit} isMoving=${isMoving} generation=${generation} onLike=${onLike} onUnlike=${onUnlike} />`)}
</ol>`;

function Hit({ hit, isMoving, generation, onLike, onUnlike }) {
  const id = hit.clip_id;
  return html`<li class="card hit">
    <${Picture} id=${id} isMoving=${isMoving} />
    <p class="who"><${ClipLink} id=${id} query=${{ generation }} /> <span class="number" title="Similarity"><span class="visually-hidden">similarity </span>${fixed(hit.similarity)}</span></p>
    <p class="hint">by <${DancerLink} id=${hit.dancer_id} /> in <${ChallengeLink} id=${hit.challenge_id} /></p>
    <dl class="likeness" aria-label="Similarity by modality">
      ${MODALITIES.filter((each) => hit.similarities[each] !== undefined || hit.missing.includes(each)).map((each) => html`<${Likeness} key=${each} modality=${each} cosine=${hit.similarities[each]} />`)}
    </dl>
    <p class="actions">
      <button type="button" aria-label="More like this: ${id}" onClick=${() => onLike(id)}>More like this</button>
      <button type="button" aria-label="Not like this: ${id}" onClick=${() => onUnlike(id)}>Not like this</button>
    </p>
  </li>`;
}

/** From the middle, to the right where it is alike, to the left where it is unlike. */
function Likeness({ modality, cosine }) {
  const share = Math.min(1, Math.abs(cosine ?? 0)) * 50;
  return html`<div>
    <dt>${title(modality)}</dt>
    <dd>
      <span class="axis" aria-hidden="true"><span class="fill" style=${{ width: `${share}%`, [cosine < 0 ? "right" : "left"]: "50%", background: colour(modality) }}></span></span>
      <span class="number">${cosine === undefined ? "none" : fixed(cosine, 2)}</span>
    </dd>
  </div>`;
}

/** The skeleton, fetched when it comes near the window. */
function Picture({ id, isMoving }) {
  const host = useRef(null);
  const [state, setState] = useState({ skeleton: null, error: null });
  const [isNear, setNear] = useState(false);
  useEffect(() => watchVisibility(host.current, (isVisible) => isVisible && setNear(true)), []);
  useEffect(() => {
    if (!isNear) return undefined;
    const controller = new AbortController();
    skeletonOf(id, RATE_HZ, controller.signal).then(
      (skeleton) => !controller.signal.aborted && setState({ skeleton, error: null }),
      (error) => !controller.signal.aborted && setState({ skeleton: null, error }),
    );
    return () => controller.abort();
  }, [isNear, id]);
  return html`<div class="picture" ref=${host}>
    ${state.skeleton && html`<${SkeletonThumbnail} label=${id} skeleton=${state.skeleton} isMoving=${isMoving} />`}
    ${state.error && html`<p class="hint">${state.error.message}</p>`}
  </div>`;
}
