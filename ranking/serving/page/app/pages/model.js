// The model: what it was trained on, whether it is right, and whether it still is.
import { html } from "../html.js";
import { get } from "../api.js";
import { useAnswer } from "../answers.js";
import { PageTitle } from "../components/page_title.js";
import { Section } from "../components/section.js";
import { Agreement } from "./model/agreement.js";
import { Calibration } from "./model/calibration.js";
import { Card } from "./model/card.js";
import { Generations } from "./model/generations.js";
import { Drift, OverTime } from "./model/over_time.js";
import { time } from "../format.js";

export default function Model({ query }) {
  const generation = query.generation ?? null;
  const model = useAnswer((signal) => get("v1/model", { generation, points: 500 }, { signal }), [generation]);
  const generations = useAnswer((signal) => get("v1/generations", {}, { signal }), []);
  const named = model.value?.generation ?? generation;
  return html`<${PageTitle} title="Model" lead=${named ? html`Generation <bdi>${named}</bdi>` : "What predicts, and whether it is right."} />
    <${Section} title="Model card" answer=${model} what="the model card">${(value) => html`<${Card} value=${value} />`}<//>
    <${Section} title="Generations" answer=${generations} what="the generations">
      ${(value) => html`<${Generations} value=${value} shown=${named} card=${model.value?.card ?? null} />`}
    <//>
    ${model.value !== null && html`<${Measurements} value=${model.value} />`}`;
}

function Measurements({ value }) {
  if (value.latest === null) {
    return html`<section class="card" aria-labelledby="measured">
      <h2 id="measured">Is it right?</h2>
      <p class="empty">This generation has not been measured yet. A worker of the traffic pools (“dancerank pools run”) measures it once clips were scored and reactions are reported.</p>
    </section>`;
  }
  return html`<p class="hint">Measured ${time(value.latest.measured_at_ms)}.</p>
    <div class="grid" style="--least: 34rem">
      <section class="card" aria-labelledby="agreement"><h2 id="agreement">Agreement with what happened</h2><${Agreement} latest=${value.latest} /></section>
      <section class="card" aria-labelledby="calibration"><h2 id="calibration">Calibration</h2><${Calibration} latest=${value.latest} /></section>
      <section class="card" aria-labelledby="over-time"><h2 id="over-time">Agreement over time</h2><${OverTime} history=${value.history} /></section>
      <section class="card" aria-labelledby="drift"><h2 id="drift">Drift</h2><${Drift} latest=${value.latest} history=${value.history} /></section>
    </div>`;
}
