// Two policies in the same simulated worlds.
import { html, useId, useState } from "../../html.js";
import { get, post } from "../../api.js";
import { useAnswer, useRequest } from "../../answers.js";
import { announce } from "../../components/announce.js";
import { Problem } from "../../components/problem.js";
import { Section } from "../../components/section.js";
import { Field } from "./dry_run.js";
import { Outcomes } from "./outcomes.js";

export function Comparison() {
  const known = useAnswer((signal) => get("v1/pools/policies", {}, { signal }), []);
  return html`<${Section} title="Compare policies" answer=${known} what="the policies"
    hint="Uploads and viewers are simulated, the same under each policy. No person is shown anything.">
    ${(policies) => html`<${Question} policies=${policies} />`}
  <//>`;
}

function Question({ policies }) {
  const [first, setFirst] = useState(policies[0]?.toml ?? "");
  const [second, setSecond] = useState("");
  const comparison = useRequest();
  const ask = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const asked = {
      policies: [first, second].filter((text) => text.trim() !== ""),
      seeds: [Number(form.get("seed"))],
      clips: Number(form.get("clips")),
      days: Number(form.get("days")),
    };
    comparison.ask((signal) => post("v1/pools/comparison", asked, { signal }), () => announce("The policies are compared."));
  };
  return html`<form class="form" onSubmit=${ask}>
      <div class="grid">
        <${PolicyText} label="First policy" policies=${policies} text=${first} change=${setFirst} />
        <${PolicyText} label="Second policy" policies=${policies} text=${second} change=${setSecond} isOptional />
      </div>
      <div class="fields">
        <${Field} name="clips" label="Uploads" type="number" min="100" max="1200" value="600" required />
        <${Field} name="days" label="Days" type="number" min="0.5" max="28" step="0.5" value="7" required />
        <${Field} name="seed" label="Seed" hint="of the simulated world" type="number" min="0" max="2147483647" value="1" required />
      </div>
      <p class="actions">
        <button type="submit" class="primary" disabled=${comparison.isLoading || first.trim() === ""}>${comparison.isLoading ? "Simulating…" : "Compare"}</button>
        ${comparison.isLoading && html`<span class="hint" role="status">Clips are filmed, scored and replayed; this takes some seconds.</span>`}
      </p>
    </form>
    ${comparison.error && html`<${Problem} error=${comparison.error} what=${WHICH[comparison.error.parameter] ?? ""} />`}
    ${comparison.value && html`<${Outcomes} answer=${comparison.value} />`}`;
}

const WHICH = { "policies.0": "First policy", "policies.1": "Second policy" };

function PolicyText({ label, policies, text, change, isOptional = false }) {
  const id = useId();
  const chosen = policies.find((each) => each.toml === text)?.name ?? (text === "" ? "" : "changed");
  const choose = (event) => {
    const found = policies.find((each) => each.name === event.target.value);
    if (found) change(found.toml);
    else if (event.target.value === "") change("");
  };
  return html`<div class="policy">
    <label for=${id}>${label}, as TOML</label>
    <label class="inline">Begin with
      <select value=${chosen} onChange=${choose} aria-label="${label}: begin with">
        ${isOptional && html`<option value="">none</option>`}
        ${policies.map((each) => html`<option key=${each.name} value=${each.name}>${each.name === "active" ? "the active one" : each.name} (${each.version})</option>`)}
        ${chosen === "changed" && html`<option value="changed">changed here</option>`}
      </select>
    </label>
    <textarea id=${id} rows="12" spellcheck="false" value=${text} onInput=${(event) => change(event.target.value)}
      placeholder=${isOptional ? "Empty: the first policy is compared with the references only." : ""}></textarea>
  </div>`;
}
