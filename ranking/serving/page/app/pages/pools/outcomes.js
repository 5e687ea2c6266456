// What came of simulated policies: the simulator's table and charts.
import { html, useMemo } from "../../html.js";
import { Chart } from "../../components/chart.js";
import { Table } from "../../components/table.js";
import { count, fixed, number, percent, plural } from "../../format.js";
import { tierColour } from "./tiers.js";

const COLOURS = { policy: "var(--skeletal)", "popularity only": "var(--holistic)", uniform: "var(--muted)", oracle: "var(--scenic)" };
const DASHES = { policy: null, "popularity only": "6,3", uniform: "2,3", oracle: "8,3,2,3" };
const NAMES = Object.keys(COLOURS);

export function Outcomes({ answer }) {
  return html`<p>${plural(answer.clips, "clip")} uploaded in ${number(answer.days)} days, ${count(answer.before)} before them; seed ${answer.seeds.join(", ")}.</p>
    <${Legend} />
    <div class="grid" style="--least: 26rem">${answer.policies.map((each) => html`<${Outcome} key=${each.version} outcome=${each} days=${answer.days} />`)}</div>`;
}

const Legend = () => html`<ul class="chart-legend" aria-label="Lines of the charts">
  ${NAMES.map(
    (name) => html`<li key=${name}>
      <svg width="34" height="8" aria-hidden="true"><line x1="1" y1="4" x2="33" y2="4" stroke=${COLOURS[name]} stroke-width="2.5" stroke-dasharray=${DASHES[name]} /></svg>${name}
    </li>`,
  )}
</ul>`;

function Outcome({ outcome, days }) {
  return html`<article class="outcome-of">
    <h3><bdi>${outcome.version}</bdi></h3>
    <p class="hint">Every row gives out ${count(Math.round(outcome.granted))} impressions.${outcome.allocations.some(isTooSmall) ? " “–”: the challenges have too few clips for it." : ""}</p>
    <${Table} caption="Allocations under ${outcome.version}" isCaptionHidden rows=${outcome.allocations} columns=${ALLOCATIONS} rowKey=${(each) => each.allocation} />
    <${Exposure} outcome=${outcome} />
    <${ByTier} outcome=${outcome} days=${days} />
    <${Reactions} outcome=${outcome} />
  </article>`;
}

function Exposure({ outcome }) {
  const rows = useMemo(
    () => outcome.allocations.flatMap((each) => each.lifts.map((lift, i) => ({ allocation: each.allocation, percentile: 5 * i, to: 5 * (i + 1), lift }))),
    [outcome],
  );
  const ends = rows.concat(rows.filter((row) => row.to === 100).map((row) => ({ ...row, percentile: 100 })));
  const most = Math.max(1, ...rows.map((row) => row.lift));
  const build = ({ Plot }) => ({
    height: 230,
    marginTop: 32,
    marginBottom: 40,
    marginLeft: 44,
    x: { label: "eventual percentile in the challenge", domain: [0, 100], labelArrow: "none" },
    y: { type: "symlog", constant: 1, label: "impressions of a clip, × uniform", grid: true, ticks: [0, 1, 2, 5, 10, 20].filter((tick) => tick <= most), tickFormat: (value) => `${value}×`, labelArrow: "none" },
    marks: NAMES.map((name) =>
      Plot.line(ends.filter((row) => row.allocation === name), { x: "percentile", y: "lift", curve: "step-after", stroke: COLOURS[name], strokeWidth: 2, strokeDasharray: DASHES[name] }),
    ),
  });
  return html`<${Chart} label="Mean impressions of a clip under ${outcome.version}, as a multiple of uniform, by its eventual percentile"
    build=${build} inputs=${[outcome]} rows=${rows} columns=${LIFTS} rowKey=${(row) => `${row.allocation} ${row.percentile}`}>Who is shown<//>`;
}

function ByTier({ outcome, days }) {
  const rows = useMemo(
    () => outcome.tiers.flatMap((tier, index) => tier.by_quarter_day.map((views, i) => ({ tier: tier.tier, index, from: i / 4, to: (i + 1) / 4, views }))),
    [outcome],
  );
  const build = ({ Plot }) => ({
    height: 210,
    marginTop: 32,
    marginBottom: 40,
    marginLeft: 52,
    x: { label: "day", labelArrow: "none" },
    y: { label: "impressions in six hours", grid: true, tickFormat: "~s", ticks: 4, labelArrow: "none" },
    marks: [
      Plot.rectY(rows, Plot.stackY({ x1: "from", x2: "to", y: "views", fill: (row) => tierColour(row.index), order: "index" })),
      Plot.ruleX([days], { stroke: "currentColor", strokeDasharray: "2,3" }),
      Plot.text([days], { x: (day) => day, frameAnchor: "top", text: () => "last uploads", textAnchor: "end", dx: -4, dy: -14, fill: "currentColor" }),
      Plot.ruleY([0], { stroke: "currentColor" }),
    ],
  });
  return html`<${Chart} label="Impressions granted by ${outcome.version} in each quarter of a day, by tier" build=${build} inputs=${[outcome]}
      rows=${rows.filter((row) => row.views > 0)} columns=${GRANTS} rowKey=${(row) => `${row.tier} ${row.from}`}>
      <span class="chart-legend">${outcome.tiers.map((tier, i) => html`<span key=${tier.tier}><span class="swatch" style=${{ background: tierColour(i) }}></span><bdi>${tier.tier}</bdi> ${percent(tier.granted / tier.capacity)} used</span>`)}</span>
    <//>`;
}

function Reactions({ outcome }) {
  const rows = useMemo(
    () => outcome.allocations.flatMap((each) => each.reactions.map((share, i) => ({ allocation: each.allocation, day: outcome.days[i], share }))),
    [outcome],
  );
  const build = ({ Plot }) => ({
    height: 210,
    marginTop: 32,
    marginBottom: 40,
    marginLeft: 48,
    x: { label: "day", labelArrow: "none" },
    y: { label: "expected reactions so far, of the oracle's", domain: [0, 1], tickFormat: "%", grid: true, ticks: 4, labelArrow: "none" },
    marks: NAMES.map((name) => Plot.line(rows.filter((row) => row.allocation === name), { x: "day", y: "share", stroke: COLOURS[name], strokeWidth: 2, strokeDasharray: DASHES[name] })),
  });
  return html`<${Chart} label="Expected reactions under ${outcome.version} so far, as a share of the oracle's" build=${build} inputs=${[outcome]}
    rows=${rows} columns=${SHARES} rowKey=${(row) => `${row.allocation} ${row.day}`}>What comes of it<//>`;
}

const isTooSmall = ({ top_1, top_10 }) => top_1 === null || top_10 === null;
const share = (part, lift) => (part === null ? "–" : `${percent(part, 1)} (${fixed(lift, 1)}×)`);

const ALLOCATIONS = [
  { label: "Allocation", isHeader: true, value: (each) => html`<span class="whole">${each.allocation}</span>` },
  { label: "To top\u00a01\u00a0%", isNumber: true, value: (each) => share(each.top_1, each.top_1_lift) },
  { label: "To top\u00a010\u00a0%", isNumber: true, value: (each) => share(each.top_10, each.top_10_lift) },
  { label: "Regret", isNumber: true, value: (each) => percent(each.regret, 1) },
  { label: "Gini", isNumber: true, value: (each) => fixed(each.gini, 2) },
  { label: "Newcomers found", isNumber: true, value: (each) => percent(each.discovered) },
];
const LIFTS = [
  { label: "Allocation", isHeader: true, value: (row) => row.allocation },
  { label: "Percentile from", isNumber: true, value: (row) => row.percentile },
  { label: "× uniform", isNumber: true, value: (row) => number(row.lift) },
];
const GRANTS = [
  { label: "Tier", isHeader: true, value: (row) => html`<bdi>${row.tier}</bdi>` },
  { label: "Day", isNumber: true, value: (row) => row.from },
  { label: "Impressions", isNumber: true, value: (row) => count(Math.round(row.views)) },
];
const SHARES = [
  { label: "Allocation", isHeader: true, value: (row) => row.allocation },
  { label: "Day", isNumber: true, value: (row) => number(row.day) },
  { label: "Of the oracle's", isNumber: true, value: (row) => percent(row.share, 1) },
];
