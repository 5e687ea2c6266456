// The seconds that made the score of a routine: the attention of its stream over time, and the heaviest moments.
import { html } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Chart } from "../../components/chart.js";
import { Section } from "../../components/section.js";
import { count, number, percent, plural } from "../../format.js";

const STROKES = { dynamic: { stroke: "var(--skeletal)", dash: null }, static: { stroke: "var(--holistic)", dash: "5,3" } };
const OTHER = { stroke: "var(--muted)", dash: "1,3" };
const LOOKS_AT = { dynamic: "movement, in segments of 3.2 s", static: "pictures, one each second" };

export function Routine({ id, generation }) {
  const answer = useAnswer((signal) => get(at`/v1/clips/${id}/moments`, { generation }, { signal }), [id, generation]);
  return html`<${Section} title="The seconds that made the score" answer=${answer} what="the attention over time" className="card movement">
    ${(found) => html`<${Curve} found=${found} />
      <h3>The heaviest moments</h3>
      ${found.moments.length === 0 ? html`<p class="empty">No moment counts more than another.</p>` : html`<${Heaviest} moments=${found.moments} />`}
      <p class="hint">A clip longer than 60 s is a routine, scored as a whole by movement and pictures over time. No skeleton is kept of it, so there is none to
        show, and no guidance. Attention says what the model looked at, not what would raise the score.</p>`}
  <//>`;
}

function Curve({ found }) {
  const rows = Array.from({ length: found.weights[found.parts[0]].length }, (_, step) => ({
    start: step / found.rate_hz,
    ...Object.fromEntries(found.parts.map((part) => [part, found.weights[part][step]])),
  }));
  const peaks = found.moments.map((moment, i) => ({ name: `${i + 1}`, middle: (moment.start_s + moment.end_s) / 2, weight: highest(rows, moment) }));
  const build = ({ Plot }) => ({
    height: 260,
    marginTop: 30,
    insetTop: 20,
    marginBottom: 40,
    marginLeft: 48,
    x: { label: "seconds", labelArrow: "none", domain: [0, found.seconds] },
    y: { label: "share of the attention in each second", labelArrow: "none", grid: true, zero: true, tickFormat: "~%" },
    marks: [
      ...found.parts.map((part) => Plot.line(steps(rows, part, found.seconds), { x: "second", y: "weight", curve: "step-after", stroke: look(part).stroke, strokeWidth: 2, strokeDasharray: look(part).dash })),
      Plot.dot(peaks, { x: "middle", y: "weight", r: 4, fill: "currentColor" }),
      Plot.text(peaks, { x: "middle", y: "weight", text: "name", dy: -12, fill: "currentColor", fontWeight: "bold" }),
      Plot.ruleY([0], { stroke: "currentColor" }),
    ],
  });
  const columns = [
    { label: "Second", isHeader: true, value: (row) => number(row.start, 4) },
    ...found.parts.map((part) => ({ label: part, isNumber: true, value: (row) => percent(row[part], 2) })),
  ];
  return html`<${Chart} label="Attention over ${count(found.seconds)} seconds by ${found.parts.join(" and ")}, with ${plural(found.moments.length, "moment")} marked"
    build=${build} inputs=${[found]} rows=${rows} columns=${columns} rowKey=${(row) => row.start}>
    ${found.parts.map(
      (part) => html`<span key=${part} class="line-key"><svg width="28" height="10" aria-hidden="true"><line x1="0" x2="28" y1="5" y2="5" stroke=${look(part).stroke} stroke-width="2" stroke-dasharray=${look(part).dash} /></svg> ${part}: ${LOOKS_AT[part] ?? "steps"} </span>`,
    )}
  <//>`;
}

const look = (part) => STROKES[part] ?? OTHER;

/** Each step holds until the next; the last one until the end. */
const steps = (rows, part, end) => [...rows.map((row) => ({ second: row.start, weight: row[part] })), { second: end, weight: rows.at(-1)[part] }];

const highest = (rows, moment) => Math.max(...rows.filter((row) => row.start >= moment.start_s - 1e-6 && row.start < moment.end_s - 1e-6).map((row) => row[moment.part]));

const Heaviest = ({ moments }) => html`<ol class="seconds" aria-label="The heaviest moments">
  ${moments.map(
    (moment) => html`<li key=${`${moment.part} ${moment.start_s}`}>
      <span class="number">${moment.start_s.toFixed(1)}–${moment.end_s.toFixed(1)} s:</span>${" "}
      ${percent(moment.weight, 1)} of ${moment.part} attention, ${number(moment.times_equal)} times an equal share
    </li>`,
  )}
</ol>`;
