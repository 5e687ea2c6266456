// Predicted against observed, by deciles of the prediction.
import { html, useMemo, useState } from "../../html.js";
import { Chart } from "../../components/chart.js";
import { colour, DIMENSIONS, title } from "../../dimensions.js";
import { count, number } from "../../format.js";

export function Calibration({ latest }) {
  const [dimension, setDimension] = useState("fused");
  const measured = DIMENSIONS.filter((each) => latest.calibrations.some((found) => found.dimension === each));
  const found = latest.calibrations.find((each) => each.dimension === dimension) ?? latest.calibrations[0];
  const bins = useMemo(() => (found?.deciles ?? []).filter((each) => each.clips > 0), [found]);
  if (found === undefined) return html`<p class="empty">There are too few clips whose reception was observed.</p>`;
  const build = ({ Plot, width }) => ({
    height: Math.min(320, Math.max(220, width * 0.7)),
    marginTop: 26,
    marginBottom: 40,
    marginLeft: 44,
    x: { domain: [0, 1], label: "predicted", grid: true, labelArrow: "none" },
    y: { domain: [0, 1], label: "observed", grid: true, labelArrow: "none" },
    r: { range: [2, 13] },
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: "currentColor", strokeDasharray: "4,4" }),
      Plot.line(bins, { x: (bin) => inside(bin.predicted), y: "observed", stroke: colour(found.dimension), strokeWidth: 1.5 }),
      Plot.dot(bins, { x: (bin) => inside(bin.predicted), y: "observed", r: "clips", fill: colour(found.dimension), fillOpacity: 0.85, stroke: "var(--surface)" }),
    ],
  });
  return html`<label class="inline">By
      <select value=${found.dimension} onChange=${(event) => setDimension(event.target.value)}>
        ${measured.map((each) => html`<option key=${each} value=${each}>${title(each)}</option>`)}
      </select>
    </label>
    <${Chart} label="Predicted against observed virality by the ${found.dimension} score, in deciles of the prediction" build=${build} inputs=${[found]}
      rows=${bins} columns=${COLUMNS} rowKey=${(bin) => bin.low}>
      A score means what it says on the dashed line: of 0, the least viral clip of its challenge, to 1, the most viral one. Larger dots are more clips.${" "}
      ${found.dimension === "fused" ? "" : "Only the fused score is trained to mean a value; this one orders clips. "}Bias ${number(found.bias, 2)}, calibration error ${number(found.error, 2)}.
    <//>`;
}

const inside = (value) => Math.max(0, Math.min(1, value));

const COLUMNS = [
  { label: "Predicted from", isHeader: true, value: (bin) => number(bin.low) },
  { label: "to", isNumber: true, value: (bin) => number(bin.high) },
  { label: "Clips", isNumber: true, value: (bin) => count(bin.clips) },
  { label: "Mean predicted", isNumber: true, value: (bin) => number(bin.predicted) },
  { label: "Mean observed", isNumber: true, value: (bin) => number(bin.observed) },
];
