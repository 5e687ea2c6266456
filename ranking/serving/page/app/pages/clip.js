// One clip: its scores and what they come from, its movement, what became of it, and what it is like.
import { html, useState } from "../html.js";
import { at, get } from "../api.js";
import { useAnswer } from "../answers.js";
import { ChallengeLink, DancerLink } from "../components/clip_links.js";
import { ClipNews } from "../components/clip_news.js";
import { PageTitle } from "../components/page_title.js";
import { Problem } from "../components/problem.js";
import { Loading } from "../components/loading.js";
import { DIMENSIONS, ROUTINE } from "../dimensions.js";
import { duration, number, percent, styleName, time } from "../format.js";
import { href } from "../router.js";
import { Duplicates } from "./clip/duplicates.js";
import { Movement } from "./clip/movement.js";
import { Neighbours } from "./clip/neighbours.js";
import { Observed } from "./clip/observed.js";
import { Pool } from "./clip/pool.js";
import { Routine } from "./clip/routine.js";
import { Scores } from "./clip/scores.js";

export default function Clip({ id, query }) {
  const generation = query.generation ?? null;
  const answer = useAnswer((signal) => get(at`/v1/clips/${id}`, { generation }, { signal }), [id, generation]);
  const [version, setVersion] = useState(0); // another one asks again for the history
  const showNews = () => {
    answer.reload();
    setVersion(version + 1);
  };
  const clip = answer.value;
  const isUnknown = answer.error?.status === 404;
  return html`<${PageTitle} title=${id} lead=${clip && html`<${Lead} clip=${clip} />`} />
    ${answer.error && html`<${Problem} error=${answer.error} retry=${answer.reload} what="The scores of this clip cannot be shown" />`}
    ${isUnknown && html`<p><a href=${href(["challenges"])}>All challenges</a></p>`}
    ${clip === null && answer.isLoading && html`<${Loading} what="the clip" />`}
    ${clip && html`<${ClipNews} id=${id} challenge=${clip.challenge_id} show=${showNews} />`}
    ${clip?.outside_training_distribution && html`<${Outside} distance=${clip.training_distance} />`}
    ${clip && html`<p class="actions"><a class="button" href=${href(["similar"], { clip: id, generation })}>Who dances like this?</a></p>`}
    ${!isUnknown &&
    html`<div class="clip">
      ${clip && html`<${Scores} clip=${clip} />`}
      ${clip && clip.scores[ROUTINE] !== undefined && html`<${Routine} id=${id} generation=${generation} />`}
      ${(clip ?? answer.error) && clip?.scores[ROUTINE] === undefined && html`<${Movement} id=${id} generation=${generation} />`}
      <${Observed} id=${id} clip=${clip} />
      <${Pool} key=${version} id=${id} />
      <${Duplicates} id=${id} generation=${generation} />
      ${clip && Object.keys(clip.places).length > 0 && html`<${Neighbours} id=${id} generation=${generation} dimensions=${DIMENSIONS.filter((each) => clip.places[each] !== undefined)} />`}
    </div>`}`;
}

const Lead = ({ clip }) => html`By <${DancerLink} id=${clip.dancer_id} /> in <${ChallengeLink} id=${clip.challenge_id} />${" "}
  · uploaded ${time(clip.uploaded_at_ms)} · ${duration(clip.duration_s)} · model generation ${clip.generation}${style(clip)}`;

/** What the style classifier of the bundle says, where it has one and the clip has a skeleton. */
function style({ style: name, style_probability: probability }) {
  if (!name) return null;
  return html` · dance style ${name === "unknown" ? styleName(name) : html`<bdi>${name}</bdi> (${percent(probability)})`}`;
}

const Outside = ({ distance }) => html`<div class="warning" role="note">
  <p><strong>Outside the training distribution.</strong> This clip is unlike the clips that the model learned from
    (${number(distance)} times the accepted distance). Its scores are not to be trusted: it is in no ranking and is never nominated.</p>
</div>`;
