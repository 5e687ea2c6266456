// What would be decided now about a clip that is made up. Nothing is written.
import { html, useId } from "../../html.js";
import { useRequest } from "../../answers.js";
import { post } from "../../api.js";
import { Problem } from "../../components/problem.js";
import { Table } from "../../components/table.js";
import { DIMENSIONS, MEANING, title } from "../../dimensions.js";
import { count, percent, percentile } from "../../format.js";

export function DryRun() {
  const heading = useId();
  const { value: answer, error, isLoading, ask } = useRequest();
  const submit = (event) => {
    event.preventDefault();
    const asked = questionOf(new FormData(event.target));
    ask((signal) => post("v1/pools/try", asked, { signal }));
  };
  return html`<section class="card" aria-labelledby=${heading}>
    <h2 id=${heading}>Try a clip</h2>
    <p class="hint">A clip that is made up: what would be decided about it now, and what it would take from which budget. Nothing is written.</p>
    <form class="form" onSubmit=${submit}>
      <div class="fields">
        <${Field} name="challenge_id" label="Challenge" required value="challenge-1" maxlength="128" />
        <${Field} name="dancer_id" label="Dancer" hint="empty: a new one" maxlength="128" />
        <${Field} name="challenge_clips" label="Clips in the challenge" hint="empty: as many as there are" type="number" min="1" />
      </div>
      <fieldset>
        <legend>Percentiles in the challenge, 0 to 100</legend>
        <div class="fields">
          ${DIMENSIONS.map((each) => html`<${Field} key=${each} name="percentile-${each}" label=${title(each)} hint=${MEANING[each]} type="number" min="0" max="100" step="any" value=${each === "fused" ? "80" : ""} />`)}
        </div>
      </fieldset>
      <fieldset>
        <legend>Once it was shown (empty: not yet)</legend>
        <div class="fields">
          <${Field} name="reactions" label="Reactions" hint="likes, comments, reposts" type="number" min="0" />
          <${Field} name="views" label="Impressions" type="number" min="0" />
        </div>
      </fieldset>
      <p class="actions"><button type="submit" class="primary" disabled=${isLoading}>${isLoading ? "Trying…" : "Try"}</button></p>
    </form>
    <div aria-live="polite">
      ${error && html`<${Problem} error=${error} what=${error.parameter ?? ""} />`}
      ${answer && html`<${Tried} answer=${answer} />`}
    </div>
  </section>`;
}

/** An input with its label and a hint that belongs to it; `value` is what stands in it at first. */
export function Field({ name, label, hint = null, value = "", ...input }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} name=${name} defaultValue=${value} autocomplete="off" aria-describedby=${hint && `${id}-hint`} ...${input} />
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
  </div>`;
}

/** The question of a form; what is empty is left out. */
function questionOf(form) {
  const text = (name) => form.get(name).trim() || undefined;
  const numberOf = (name) => (text(name) === undefined ? undefined : Number(text(name)));
  const percentiles = Object.fromEntries(DIMENSIONS.map((each) => [each, numberOf(`percentile-${each}`)]).filter(([, value]) => value !== undefined));
  return {
    challenge_id: form.get("challenge_id").trim(),
    dancer_id: text("dancer_id"),
    challenge_clips: numberOf("challenge_clips"),
    percentiles,
    reactions: numberOf("reactions"),
    views: numberOf("views"),
  };
}

function Tried({ answer }) {
  const { afterwards } = answer;
  return html`<h3>What would be decided</h3>
    <p class="outcome">${answer.decision.sentence}</p>
    <p class="hint">Percentiles: ${Object.entries(answer.percentiles).map(([name, value]) => `${name} ${percentile(value)}`).join(", ")};${" "}
      ${count(answer.challenge_clips)} clips in the challenge, of which ${count(answer.fewest_clips)} are needed before percentiles count.</p>
    <${Rooms} caption="Budgets that the first tier takes from, in impressions" rooms=${answer.budgets} />
    ${afterwards &&
    html`<h3>After these reactions</h3>
      <p class="outcome">${afterwards.sentence}</p>
      <p class="hint">Reaction rate ${percent(afterwards.rate.rate, 1)}, surely between ${percent(afterwards.rate.low, 1)} and ${percent(afterwards.rate.high, 1)}.</p>
      ${afterwards.budgets.length > 0 && html`<${Rooms} caption="Budgets that the next tier takes from, in impressions" rooms=${afterwards.budgets} />`}`}`;
}

const Rooms = ({ caption, rooms }) =>
  html`<${Table} caption=${caption} rows=${rooms} columns=${ROOMS} rowKey=${(room) => `${room.tier} ${room.scope}`} />`;

const ROOMS = [
  { label: "Budget", isHeader: true, value: (room) => html`<bdi>${room.tier}</bdi>, ${room.scope}` },
  { label: "Used", isNumber: true, value: (room) => count(room.used) },
  { label: "Of", isNumber: true, value: (room) => count(room.capacity) },
  { label: "Left", isNumber: true, value: (room) => count(room.left) },
  { label: "For this clip", isNumber: true, value: (room) => count(room.spends) },
];
