// How agreement and drift changed from measurement to measurement.
import { html, useMemo } from "../../html.js";
import { Chart } from "../../components/chart.js";
import { colour, DIMENSIONS, title } from "../../dimensions.js";
import { count, number, percent, plural, tickTime, time } from "../../format.js";
import { SYMBOLS } from "./agreement.js";

const DASHES = { fused: null, skeletal: "6,3", holistic: "2,3", facial: "8,3,2,3", scenic: "4,2,1,2,1,2", routine: "12,3" };
const MOVED = 0.25; // the alert's

export function OverTime({ history }) {
  const rows = useMemo(
    () => history.flatMap((each) => each.agreements.map((found) => ({ at: new Date(each.measured_at_ms), dimension: found.dimension, value: found.correlation }))),
    [history],
  );
  if (rows.length === 0) return html`<p class="empty">No measurement has an agreement yet.</p>`;
  return html`<${Lines} rows=${rows} label="Mean agreement over all challenges" axis="mean ρ" reference=${0} domain=${[Math.min(0, ...rows.map((row) => row.value)), 1]} />`;
}

export function Drift({ latest, history }) {
  const { drift } = latest;
  const rows = useMemo(
    () => history.flatMap((each) => Object.entries(each.drift.score_psi).map(([dimension, value]) => ({ at: new Date(each.measured_at_ms), dimension, value }))),
    [history],
  );
  const now = DIMENSIONS.filter((each) => drift.score_psi[each] !== undefined).map((each) => ({ dimension: each, psi: drift.score_psi[each], norm: drift.norm_psi[each], ratio: drift.norm_ratio[each] }));
  if (now.length === 0) {
    return html`<p class="empty">Drift is measured once there are enough clips: ${count(drift.reference_clips)} of the first ones and ${count(drift.window_clips)} of the latest are kept so far.</p>`;
  }
  const moved = now.filter((each) => each.psi > MOVED);
  return html`<p>${moved.length === 0 ? "The latest scores are distributed as the first ones." : `The latest scores are distributed otherwise than the first ones by ${moved.map((each) => each.dimension).join(", ")}.`}</p>
    <${Lines} rows=${rows} label="Population stability index of the scores" axis="PSI of scores" reference=${MOVED} domain=${[0, Math.max(0.3, ...rows.map((row) => row.value))]} />
    <${Now} rows=${now} />
    <p class="hint">The latest ${plural(drift.window_clips, "clip")} against the first ${count(drift.reference_clips)}. Below 0.1 little has changed; above 0.25, the dotted line, much.</p>`;
}

const Now = ({ rows }) => html`<dl class="stated">
  ${rows.map((each) => html`<div key=${each.dimension}><dt>${title(each.dimension)}</dt><dd>PSI ${number(each.psi, 2)}${each.norm !== undefined && each.norm !== null && `, of embedding norms ${number(each.norm, 2)}`}${Number.isFinite(each.ratio) && `; mean norm ${percent(each.ratio)} of the first`}</dd></div>`)}
</dl>`;

function Lines({ rows, label, axis, reference, domain }) {
  const dimensions = DIMENSIONS.filter((each) => rows.some((row) => row.dimension === each));
  const isOne = new Set(rows.map((row) => row.at.getTime())).size === 1;
  const build = ({ Plot, width }) => ({
    height: 210,
    marginBottom: 36,
    marginTop: 26,
    marginLeft: 44,
    marginRight: 32,
    x: { type: "time", label: null, ticks: Math.max(2, Math.floor(width / 120)), tickFormat: tickTime },
    y: { label: axis, domain, grid: true, ticks: 4, labelArrow: "none" },
    symbol: { type: "identity" },
    marks: [
      Plot.ruleY([reference], { stroke: "currentColor", strokeDasharray: "2,3" }),
      ...dimensions.map((each) => Plot.line(rows.filter((row) => row.dimension === each), { x: "at", y: "value", stroke: colour(each), strokeWidth: 2, strokeDasharray: DASHES[each] })),
      isOne ? Plot.dot(rows, { x: "at", y: "value", fill: (row) => colour(row.dimension), symbol: (row) => SYMBOLS[row.dimension], r: 5 }) : null,
    ],
  });
  return html`<ul class="chart-legend" aria-label="Lines of the chart">
      ${dimensions.map(
        (each) => html`<li key=${each}><svg width="34" height="8" aria-hidden="true"><line x1="1" y1="4" x2="33" y2="4" stroke=${colour(each)} stroke-width="2.5" stroke-dasharray=${DASHES[each]} /></svg>${title(each)}</li>`,
      )}
    </ul>
    <${Chart} label=${label} build=${build} inputs=${[rows]} rows=${rows.toReversed()} columns=${COLUMNS} rowKey=${(row) => `${row.at.getTime()} ${row.dimension}`} />`;
}

const COLUMNS = [
  { label: "Measured", isHeader: true, value: (row) => time(row.at.getTime()) },
  { label: "By", value: (row) => title(row.dimension) },
  { label: "Value", isNumber: true, value: (row) => number(row.value) },
];
