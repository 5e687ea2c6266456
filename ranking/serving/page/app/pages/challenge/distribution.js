// How the scores of a challenge are distributed, by the fused score or one modality: exact counts.
import { html, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Chart } from "../../components/chart.js";
import { Section } from "../../components/section.js";
import { colour, DIMENSIONS, title } from "../../dimensions.js";
import { count, number, plural } from "../../format.js";
import { NoneRanked } from "./none.js";

export function Distribution({ id, window, style, generation, version, areOutside }) {
  const [dimension, setDimension] = useState("fused");
  const answer = useAnswer(
    (signal) => get(at`/v1/challenges/${id}/distribution`, { by: dimension, window, style, generation, bins: 24 }, { signal }),
    [id, dimension, window, style, generation, version],
  );
  return html`<${Section} title="Distribution of scores" answer=${answer} what="the distribution">
    ${(value) => html`<label class="inline">By
        <select value=${dimension} onChange=${(event) => setDimension(event.target.value)}>
          ${DIMENSIONS.map((each) => html`<option key=${each} value=${each}>${title(each)}</option>`)}
        </select>
      </label>
      <${Histogram} value=${value} areOutside=${areOutside} />`}
  <//>`;
}

function Histogram({ value, areOutside }) {
  if (value.clips === 0) return html`<${NoneRanked} window=${value.window} areOutside=${areOutside} />`;
  const bins = value.counts.map((clips, i) => ({ low: value.edges[i], high: value.edges[i + 1], clips }));
  if (bins.length === 1) return html`<p>${value.clips === 1 ? "One clip has" : `All ${plural(value.clips, "clip")} have`} the score ${number(bins[0].low)}.</p>`;
  const build = ({ Plot }) => ({
    height: 230,
    marginBottom: 40,
    marginLeft: 48,
    x: { label: `${value.dimension} score`, labelArrow: "none" },
    marginTop: 26,
    y: { label: "clips", grid: true, labelArrow: "none", tickFormat: "~s", ticks: Math.min(5, Math.max(...value.counts)) },
    marks: [
      Plot.rectY(bins, { x1: "low", x2: "high", y: "clips", fill: colour(value.dimension), inset: 0.5 }),
      Plot.ruleY([0], { stroke: "currentColor" }),
    ],
  });
  return html`<${Chart} label="Distribution of the ${value.dimension} scores of ${plural(value.clips, "clip")}, from ${number(bins[0].low)} to ${number(bins.at(-1).high)}"
    build=${build} inputs=${[value]} rows=${bins} columns=${COLUMNS} rowKey=${(bin) => bin.low} />`;
}

const COLUMNS = [
  { label: "Score from", isHeader: true, value: (bin) => number(bin.low) },
  { label: "to", isNumber: true, value: (bin) => number(bin.high) },
  { label: "Clips", isNumber: true, value: (bin) => count(bin.clips) },
];
