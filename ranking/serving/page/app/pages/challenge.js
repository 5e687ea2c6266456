// One challenge: its rankings side by side, how its scores are distributed, what matters in it, and how it grows.
import { html, useState } from "../html.js";
import { at, get } from "../api.js";
import { useAnswer } from "../answers.js";
import { Bars } from "../components/bars.js";
import { Choice } from "../components/choice.js";
import { NewClips } from "../components/new_clips.js";
import { PageTitle } from "../components/page_title.js";
import { Problem } from "../components/problem.js";
import { Section } from "../components/section.js";
import { colour, MEANING, MODALITIES, title, WINDOWS } from "../dimensions.js";
import { count, percent, plural, styleName } from "../format.js";
import { href, setQuery } from "../router.js";
import { Distribution } from "./challenge/distribution.js";
import { Growth } from "./challenge/growth.js";
import { NoneRanked } from "./challenge/none.js";
import { Rankings } from "./challenge/rankings.js";
import { Tips } from "./challenge/tips.js";
import { Unranked } from "./challenge/unranked.js";

const ORDERS = { top: "Best first", bottom: "Last first" };

export default function Challenge({ id, query }) {
  const window = query.window in WINDOWS ? query.window : "all";
  const order = query.order in ORDERS ? query.order : "top";
  const style = query.style ?? null;
  const generation = query.generation ?? null;
  const [version, setVersion] = useState(0); // another one asks again for every part of the page
  const asked = { id, generation, version };
  const attention = useAnswer(
    (signal) => get(at`/v1/challenges/${id}/attention`, { window, generation }, { signal }),
    [id, window, generation, version],
  );
  // Only to choose from: without this list there is nothing to choose.
  const styles = useAnswer(
    (signal) => get(at`/v1/challenges/${id}/styles`, { window, generation }, { signal }).catch(nothing),
    [id, window, generation, version],
  );
  const isUnknown = attention.error?.status === 404;
  const areOutside = attention.value !== null && areAllOutside(attention.value);
  return html`<${PageTitle} title=${id} lead=${attention.value && `Challenge · ${clips(attention.value)} · model generation ${attention.value.generation}`} />
    ${isUnknown &&
    html`<${Problem} error=${attention.error} retry=${attention.reload} />
      <p><a href=${href(["challenges"])}>All challenges</a></p>`}
    ${!isUnknown &&
    html`<form class="filters" onSubmit=${(event) => event.preventDefault()}>
        <${Choice} legend="Uploaded in the" options=${WINDOWS} value=${window} onChoose=${(each) => setQuery({ window: each === "all" ? null : each })} />
        <${Choice} legend="Order" options=${ORDERS} value=${order} onChoose=${(each) => setQuery({ order: each === "top" ? null : each })} />
        <${Style} styles=${styles.value?.styles ?? []} chosen=${style} />
      </form>
      <${NewClips} challenge=${id} show=${() => setVersion(version + 1)} />
      <${Rankings} ...${asked} window=${window} order=${order} style=${style} areOutside=${areOutside} />
      <${Unranked} ...${asked} />
      <div class="grid">
        <${Distribution} ...${asked} window=${window} style=${style} areOutside=${areOutside} />
        <${Section} title="Which aspect matters" answer=${attention} what="the attention">${(value) => html`<${Attention} value=${value} />`}<//>
        <${Growth} ...${asked} />
      </div>
      <${Tips} ...${asked} style=${style} areOutside=${areOutside} />`}`;
}

const nothing = () => null;

/** Whether clips were scored and none is ranked: the mean attention is of ranked clips only. */
const areAllOutside = ({ clips, mean_attention: mean }) => clips > 0 && Object.keys(mean).length === 0;

/** Which dance style rankings, distribution and tips are of, where clips of the challenge show some. */
function Style({ styles, chosen }) {
  if (styles.length === 0 && chosen === null) return null;
  const others = chosen === null || styles.some((each) => each.style === chosen) ? [] : [{ style: chosen, clips: 0 }];
  return html`<label>Dance style, in rankings, distribution and where to pay attention
    <select value=${chosen ?? ""} onChange=${(event) => setQuery({ style: event.target.value || null })}>
      <option value="">any, or none</option>
      ${[...styles, ...others].map((each) => html`<option key=${each.style} value=${each.style}>${styleName(each.style)} (${count(each.clips)})</option>`)}
    </select>
  </label>`;
}

const clips = ({ clips: count, window }) => `${plural(count, "clip")}${window === "all" ? "" : ` of the ${WINDOWS[window]}`}`;

function Attention({ value }) {
  const bars = MODALITIES.filter((each) => value.mean_attention[each] !== undefined).map((each) => ({
    label: title(each),
    note: `${MEANING[each]}, of ${plural(value.present[each], "clip")}`,
    share: value.mean_attention[each],
    colour: colour(each),
  }));
  if (bars.length === 0) return html`<${NoneRanked} window=${value.window} areOutside=${areAllOutside(value)} />`;
  return html`<${Bars} label="Mean attention by modality" bars=${bars} text=${(share) => percent(share, 1)} />
    <p class="hint">How much the model attends to each modality when it predicts how viral a clip becomes: the mean over the clips that have it.</p>`;
}
