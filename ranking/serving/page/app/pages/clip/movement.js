// The movement of a clip, with what would raise its score: arrows, and the moments where moving counts most.
import { html, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Choice } from "../../components/choice.js";
import { Moments } from "../../components/moments.js";
import { Loading } from "../../components/loading.js";
import { Problem } from "../../components/problem.js";
import { Section } from "../../components/section.js";
import { SkeletonPlayer } from "../../components/skeleton.js";

const RATE_HZ = 25;
const OF = { skeletal: "Skeletal score", fused: "Fused score" };
const MOST_MOMENTS = 6;

export function Movement({ id, generation }) {
  const [of, setOf] = useState("skeletal");
  const [moments, setMoments] = useState(3);
  const [seek, setSeek] = useState(null);
  const skeleton = useAnswer((signal) => get(at`/v1/clips/${id}/skeleton`, { rate_hz: RATE_HZ }, { signal }), [id]);
  const guidance = useAnswer(
    (signal) => get(at`/v1/clips/${id}/guidance`, { of, critical: moments, rate_hz: RATE_HZ }, { signal }),
    [id, of, moments],
  );
  return html`<${Section} title="Movement" answer=${skeleton} what="the skeleton" className="card movement">
    ${(value) => html`<div class="beside">
      <${SkeletonPlayer} label=${id} skeleton=${value} guidance=${guidance.value && matching(value, guidance.value)} seek=${seek} />
      <div>
        <h3>What would raise the score</h3>
        <form class="filters" onSubmit=${(event) => event.preventDefault()}>
          <${Choice} legend="Guidance of the" options=${OF} value=${of} onChoose=${setOf} />
          <label>Moments
            <input type="number" min="1" max=${MOST_MOMENTS} value=${moments} onInput=${(event) => setMoments(whole(event.target.value, moments))} />
          </label>
        </form>
        ${guidance.error && html`<${Problem} error=${guidance.error} retry=${guidance.reload} what="There is no guidance" />`}
        ${guidance.value === null && guidance.isLoading && html`<${Loading} what="the guidance" />`}
        ${guidance.value && html`<${Moments} guidance=${guidance.value} show=${(moment) => setSeek({ frame: moment.frame })} />`}
      </div>
    </div>`}
  <//>`;
}

/** Arrows belong to the frames of the same rate; other ones would stand at other moments. */
const matching = (skeleton, guidance) => (guidance.rate_hz === skeleton.rate_hz && guidance.vectors.length === skeleton.positions.length ? guidance : null);

const whole = (text, before) => {
  const value = Math.round(Number(text));
  return value >= 1 && value <= MOST_MOMENTS ? value : before;
};
