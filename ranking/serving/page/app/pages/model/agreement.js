// Spearman's correlation of predictions with what was observed, by challenge and dimension.
import { html, useMemo } from "../../html.js";
import { Chart } from "../../components/chart.js";
import { colour, DIMENSIONS, title } from "../../dimensions.js";
import { count, number, plural } from "../../format.js";

const MEAN = "All challenges";
const MOST = 20;

export function Agreement({ latest }) {
  const rows = useMemo(() => latest.agreements.map((each) => ({ ...each, challenge: each.challenge_id ?? MEAN })), [latest]);
  if (rows.length === 0) return html`<p class="empty">There are too few clips whose reception was observed. A challenge needs 20 of them, counted over a day (“monitoring.least_clips”, “monitoring.least_days”).</p>`;
  const named = [...new Set(rows.map((row) => row.challenge))];
  const challenges = [MEAN, ...named.filter((each) => each !== MEAN)].filter((each) => named.includes(each)).slice(0, MOST);
  const shown = rows.filter((row) => challenges.includes(row.challenge));
  const build = ({ Plot }) => ({
    height: 62 + 26 * challenges.length,
    marginLeft: 110,
    marginRight: 16,
    marginBottom: 40,
    x: { domain: [-1, 1], label: "Spearman's ρ", grid: true, labelArrow: "none" },
    y: { domain: challenges, label: null, tickFormat: (each) => (each.length > 15 ? `${each.slice(0, 14)}…` : each) },
    marks: [
      Plot.ruleX([0], { stroke: "currentColor" }),
      Plot.dot(shown, { x: "correlation", y: "challenge", fill: (row) => colour(row.dimension), stroke: "var(--surface)", r: 5.5, symbol: (row) => SYMBOLS[row.dimension] }),
    ],
    symbol: { type: "identity" },
  });
  const mean = rows.find((row) => row.challenge === MEAN && row.dimension === "fused");
  return html`<ul class="chart-legend" aria-label="Marks of the chart">${DIMENSIONS.filter((each) => shown.some((row) => row.dimension === each)).map((each) => html`<li key=${each}><span class="swatch" style=${{ background: colour(each) }}></span>${title(each)} (${SYMBOLS[each]})</li>`)}</ul>
    <${Chart} label="Agreement of predicted and observed order in ${plural(named.length - (mean ? 1 : 0), "challenge")}" build=${build} inputs=${[latest]}
      rows=${rows} columns=${COLUMNS} rowKey=${(row) => `${row.challenge} ${row.dimension}`}>
      ${mean && `The fused score agrees with ρ = ${number(mean.correlation, 2)} over ${plural(mean.clips, "clip")}. `}1: the predicted order is what happened; 0: it says nothing.
    <//>`;
}

/** Of Plot; one for each dimension, so that colours need not be distinguished. */
export const SYMBOLS = { fused: "circle", skeletal: "square", holistic: "triangle", facial: "diamond", scenic: "star", routine: "wye" };

const COLUMNS = [
  { label: "Challenge", isHeader: true, value: (row) => html`<bdi>${row.challenge}</bdi>` },
  { label: "By", value: (row) => title(row.dimension) },
  { label: "ρ", isNumber: true, value: (row) => number(row.correlation) },
  { label: "Clips", isNumber: true, value: (row) => count(row.clips) },
];
