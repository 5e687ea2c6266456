// What each tier granted in past windows, as a share of what it could.
import { html, useMemo } from "../../html.js";
import { Chart } from "../../components/chart.js";
import { count, percent, tickTime, time } from "../../format.js";
import { tierColour } from "./tiers.js";

export function Budgets({ value }) {
  const tiers = useMemo(() => [...new Set(value.windows.toReversed().flatMap((each) => each.tiers.map((tier) => tier.tier)))], [value]);
  const rows = useMemo(
    () =>
      value.windows.flatMap((each) =>
        each.tiers.map((tier) => ({
          ...tier,
          from: new Date(each.start_ms),
          to: new Date(each.end_ms),
          policy: each.policy_version,
          share: tier.capacity ? tier.used / tier.capacity : null,
        })),
      ),
    [value],
  );
  const build = ({ Plot, width }) => ({
    height: 40 + 84 * tiers.length,
    marginLeft: 48,
    marginRight: 96,
    marginTop: 14,
    marginBottom: 36,
    fy: { domain: tiers, label: null, padding: 0.25 },
    x: { type: "time", label: null, ticks: Math.max(2, Math.min(8, Math.floor(width / 110))), tickFormat: tickTime },
    y: { domain: [0, 1], ticks: [0.5, 1], tickFormat: "%", label: null, grid: true },
    marks: [
      Plot.rectY(rows, { fy: "tier", x1: "from", x2: "to", y: "share", fill: (row) => tierColour(tiers.indexOf(row.tier)), insetLeft: 0.5, insetRight: 0.5 }),
      Plot.ruleY([0], { stroke: "currentColor" }),
    ],
  });
  const first = value.windows[0];
  return html`<${Chart} label="Share of each tier's impressions that was granted, in ${count(value.windows.length)} windows since ${time(first?.start_ms)}"
    build=${build} inputs=${[value]} rows=${rows.toReversed()} columns=${COLUMNS} rowKey=${(row) => `${row.from.getTime()} ${row.tier}`}>
    Share of each tier's impressions that was granted. The last window is not over yet.
  <//>`;
}

const COLUMNS = [
  { label: "Window from", isHeader: true, value: (row) => time(row.from.getTime()) },
  { label: "Tier", value: (row) => html`<bdi>${row.tier}</bdi>` },
  { label: "Granted", isNumber: true, value: (row) => count(row.used) },
  { label: "Could", isNumber: true, value: (row) => count(row.capacity) },
  { label: "Share", isNumber: true, value: (row) => percent(row.share) },
  { label: "Policy", value: (row) => html`<bdi>${row.policy}</bdi>` },
];
