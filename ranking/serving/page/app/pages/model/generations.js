// The model generations; one of them is looked at.
import { html } from "../../html.js";
import { Table } from "../../components/table.js";
import { count, time } from "../../format.js";
import { href } from "../../router.js";

export function Generations({ value, shown, card }) {
  const columns = [
    { label: "Generation", isHeader: true, value: (each) => name(each, shown) },
    { label: "Scored clips", isNumber: true, value: (each) => count(each.clips) },
    { label: "State", value: stateOf },
    { label: "Predicts", value: (each) => each.target },
    { label: "Trained on", value: (each) => trainedOn(each, card) },
  ];
  return html`<${Table} caption="Model generations" isCaptionHidden rows=${value} columns=${columns} rowKey=${(each) => each.generation}
    empty="No clip has been scored yet. Generations appear here with their first clips." />`;
}

const name = (each, shown) =>
  each.generation === shown || each.retired
    ? html`<bdi>${each.generation}</bdi>${each.generation === shown && " (shown)"}`
    : html`<a href=${href(["model"], { generation: each.generation })}><bdi>${each.generation}</bdi></a>`;

function stateOf(each) {
  if (each.retired) return "retired";
  if (each.chosen_at_ms === null) return each.in_force ? "active" : "never active";
  return each.in_force ? html`<strong>active</strong> since <span class="whole">${time(each.chosen_at_ms)}</span>` : html`active before, since <span class="whole">${time(each.chosen_at_ms)}</span>`;
}

function trainedOn(each, card) {
  if (card?.generation !== each.generation) return html`<span class="hint">not known here</span>`;
  return card.trained_on_synthetic_clips ? html`<strong class="synthetic">synthetic clips</strong>` : (card.training_data ?? "not stated");
}
