// How many clips came to a challenge, by minute, hour or day.
import { html, useEffect, useMemo, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Chart } from "../../components/chart.js";
import { Choice } from "../../components/choice.js";
import { Section } from "../../components/section.js";
import { count, plural, tickTime, time } from "../../format.js";

const PERIODS = { minute: "Minutes", hour: "Hours", day: "Days" };
const SPANS = { minute: "two hours", hour: "seven days", day: "eight days" };

export function Growth({ id, generation, version }) {
  const [chosen, setBy] = useState(null);
  const [isNew, setNew] = useState(false);
  const by = chosen ?? (isNew ? "minute" : "hour");
  const answer = useAnswer((signal) => get(at`/v1/challenges/${id}/growth`, { by, generation }, { signal }), [id, by, generation, version]);
  useEffect(() => {
    if (chosen === null && answer.value?.by === "hour") setNew(isOfTwoHours(answer.value));
  }, [answer.value]);
  return html`<${Section} title="Growth" answer=${answer} what="the growth">
    ${(value) => html`<${Choice} legend="Clips by" options=${PERIODS} value=${by} onChoose=${setBy} /><${Uploads} value=${value} />`}
  <//>`;
}

/** Whether all clips came in the last two hours, of which hours would show one bar. */
const isOfTwoHours = ({ clips, before }) => before === 0 && clips.some((each) => each > 0) && clips.slice(0, -2).every((each) => each === 0);

function Uploads({ value }) {
  const periods = useMemo(
    () => value.clips.map((clips, i) => ({ from: new Date(value.since_ms + i * value.period_ms), to: new Date(value.since_ms + (i + 1) * value.period_ms), clips })),
    [value],
  );
  const shown = value.clips.reduce((sum, each) => sum + each, 0);
  const most = Math.max(1, ...value.clips);
  const build = ({ Plot }) => ({
    height: 190,
    marginBottom: 36,
    marginLeft: 48,
    marginTop: 26,
    x: { type: "time", label: null, ticks: 4, tickFormat: tickTime },
    y: { label: `clips by ${value.by}`, grid: true, labelArrow: "none", tickFormat: "~s", domain: [0, most], ticks: Math.min(4, most) },
    marks: [
      Plot.rectY(periods, { x1: "from", x2: "to", y: "clips", fill: "var(--accent)", insetLeft: 0.25, insetRight: 0.25 }),
      Plot.ruleY([0], { stroke: "currentColor" }),
    ],
  });
  return html`<${Chart} label="Clips uploaded by ${value.by} in the last ${SPANS[value.by]}: ${count(shown)}"
    build=${build} inputs=${[periods]} rows=${periods.filter((each) => each.clips > 0)} columns=${COLUMNS} rowKey=${(each) => each.from.getTime()}>
    ${plural(shown, "clip")} in the last ${SPANS[value.by]}, ${count(value.before)} before.
  <//>`;
}

const COLUMNS = [
  { label: "From", isHeader: true, value: (each) => time(each.from.getTime()) },
  { label: "Clips", isNumber: true, value: (each) => count(each.clips) },
];
