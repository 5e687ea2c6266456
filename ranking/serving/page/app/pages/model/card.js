// What a bundle says of itself.
import { html } from "../../html.js";
import { Table } from "../../components/table.js";
import { DIMENSIONS, title } from "../../dimensions.js";
import { count, number } from "../../format.js";

export function Card({ value }) {
  const { card } = value;
  if (card === null) return html`<p class="empty">There is no model card here: ${value.card_problem}. Set “bundle” for the process that serves to the folder of the bundle.</p>`;
  const reached = Object.entries(card.metrics).sort(([one], [other]) => order(one) - order(other) || one.localeCompare(other));
  return html`${card.warning && html`<p class="caution" role="note"><strong>Synthetic.</strong> ${card.warning}</p>`}
    ${!card.is_active && html`<p class="hint">The bundle that this process is set to is of generation <bdi>${card.generation}</bdi>, which is not the active one.</p>`}
    <dl class="stated">
      <${Fact} name="Trained on">${card.training_data ?? "not stated"}<//>
      <${Fact} name="Predicts">virality, as ${card.target}<//>
      <${Fact} name="Generation"><bdi>${card.generation}</bdi><//>
      <${Fact} name="Knows its training clips">${card.training_distribution.length ? `${card.training_distribution.map(title).join(", ")}: clips unlike them are recognised` : "not stated: clips unlike them are not recognised"}<//>
      ${reached.map(([name, reachedValue]) => html`<${Fact} key=${name} name=${nameOf(name)}>${number(reachedValue)}<//>`)}
      <${Fact} name="Export">${card.export_profile}, opset ${card.opset}${card.calibrated_on && `, calibrated on ${card.calibrated_on}`}<//>
      <${Fact} name="Guidance">${card.has_gradient_graphs ? "it can say what would raise a score" : "none: it has no gradient graphs; “dancerank add-guidance” adds them"}<//>
      <${Fact} name="Dance styles">${card.style_classifier === null ? "none: it has no style classifier" : html`<${Styles} ...${card.style_classifier} />`}<//>
      ${card.joint_layout && html`<${Fact} name="Joints">${card.joint_layout}<//>`}
    </dl>
    <${Table} caption="Streams" rows=${card.streams} columns=${STREAMS} rowKey=${(stream) => stream.modality} />
    <details class="numbers"><summary>Parity and architecture</summary>
      <${Table} caption="Greatest difference between torch and ONNX Runtime at the export" rows=${Object.entries(card.parity)} columns=${PARITY} rowKey=${([name]) => name} />
      <${Table} caption="Architecture" rows=${Object.entries(card.architecture)} columns=${PAIRS} rowKey=${([name]) => name} />
    </details>`;
}

const Fact = ({ name, children }) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;

const Styles = ({ styles, training_data: source, metrics }) => html`<bdi>${styles.join(", ")}</bdi>; learned from <bdi>${source ?? "clips that are not stated"}</bdi>
  ${metrics["accuracy of test"] !== undefined && html`; accuracy on other clips ${number(metrics["accuracy of test"])}`}`;

const SPEARMAN = "spearman_";

/** spearman_fused → "Agreement when trained, fused (ρ)" */
const nameOf = (metric) => (metric.startsWith(SPEARMAN) ? `Agreement when trained, ${metric.slice(SPEARMAN.length)} (ρ)` : metric);

/** Dimensions in the order that they have everywhere; whatever else was measured after them. */
function order(metric) {
  const place = DIMENSIONS.indexOf(metric.replace(SPEARMAN, ""));
  return place < 0 ? DIMENSIONS.length : place;
}

const STREAMS = [
  { label: "Stream", isHeader: true, value: (stream) => title(stream.modality) },
  { label: "Reads", isNumber: true, value: (stream) => `${count(stream.input_channels)} channels` },
  { label: "Embedding", isNumber: true, value: (stream) => count(stream.embedding_width) },
  { label: "Parameters", isNumber: true, value: (stream) => count(stream.parameters) },
  { label: "Computed in", value: (stream) => stream.precision },
];
const PARITY = [
  { label: "Output", isHeader: true, value: ([name]) => name },
  { label: "Difference", isNumber: true, value: ([, value]) => number(value, 2) },
];
const PAIRS = [
  { label: "Part", isHeader: true, value: ([name]) => name },
  { label: "Value", value: ([, value]) => value },
];
