// Where to pay attention in a challenge: the joints that its scores depend on most, over the time of a clip (Eq. 8) and
// overall (Eq. 9).
import { html } from "../../html.js";
import { at, getOrNull } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Chart } from "../../components/chart.js";
import { Section } from "../../components/section.js";
import { count, duration, number, plural } from "../../format.js";

/** Bins that so few clips reach say little, and are not drawn. */
const LEAST_SHARE = 0.05;

export function Tips({ id, style, generation, version, areOutside }) {
  const answer = useAnswer(
    async (signal) => ({ tips: await getOrNull(at`/v1/challenges/${id}/tips`, { style, generation }, { signal }) }),
    [id, style, generation, version],
  );
  return html`<${Section} title="Where to pay attention" answer=${answer} what="the tips">
    ${({ tips }) => (tips === null ? html`<p class="empty">${areOutside ? OUTSIDE : WITHOUT}</p>` : html`<${Maps} value=${tips} />`)}
  <//>`;
}

const WITHOUT =
  "No clip of this challenge has guidance. Tips come with the scores of a bundle that has gradient graphs, for the share of clips that streamer.guidance_share sets.";

const OUTSIDE = "All clips lie outside what the model was trained on: what their scores depend on says little about this dance, and is not shown.";

function Maps({ value }) {
  const joints = value.joints.map(readable);
  return html`<p class="hint">
      How much the score of a clip depends on each joint, the mean of ${plural(value.clips, "clip")}: ${value.unit}. The centre of the body (the thorax, or both shoulders) stands for moving all of it: compare the other joints with each other.
    </p>
    <div class="tips">
      <${Temporal} value=${value} joints=${joints} />
      <${Overall} value=${value} joints=${joints} />
    </div>`;
}

function Temporal({ value, joints }) {
  const bins = value.temporal.map((_, i) => i).filter((i) => value.clips_by_bin[i] >= Math.max(1, LEAST_SHARE * value.clips));
  const cells = bins.flatMap((i) =>
    joints.map((joint, v) => ({ from: i * value.bin_s, to: (i + 1) * value.bin_s, joint, magnitude: value.temporal[i][v], clips: value.clips_by_bin[i] })),
  );
  const most = Math.max(...cells.map((cell) => cell.magnitude ?? 0));
  const build = ({ Plot }) => ({
    height: 48 + 18 * joints.length,
    marginBottom: 40,
    marginTop: 8,
    marginLeft: 104,
    x: { label: "seconds from the start", labelArrow: "none" },
    y: { domain: joints, label: null, padding: 0.04 },
    color: { scheme: "viridis", type: "sqrt", domain: [0, most] }, // one joint has most of it: the others would all be dark
    marks: [Plot.rect(cells, { x1: "from", x2: "to", y: "joint", fill: "magnitude", inset: 0 })],
  });
  return html`<div>
    <h3>By time</h3>
    <${Chart} label="Attention by joint and time, the first ${duration(bins.length * value.bin_s)} of clips; brighter is more" build=${build} inputs=${[value]}
      rows=${cells} columns=${CELL_COLUMNS} rowKey=${(cell) => `${cell.joint} ${cell.from}`}>
      Dark: 0. Bright: ${number(most)} ${value.unit}; half as bright is a quarter of that. Times that fewer than 5 % of the clips reach are left out.
    <//>
  </div>`;
}

function Overall({ value, joints }) {
  const rows = joints.map((joint, v) => ({ joint, magnitude: value.overall[v] }));
  const build = ({ Plot }) => ({
    height: 48 + 18 * joints.length,
    marginBottom: 40,
    marginTop: 8,
    marginLeft: 104,
    x: { label: value.unit, grid: true, labelArrow: "none", ticks: 3 },
    y: { domain: joints, label: null },
    marks: [Plot.barX(rows, { x: "magnitude", y: "joint", fill: "var(--skeletal)", inset: 1 }), Plot.ruleX([0], { stroke: "currentColor" })],
  });
  return html`<div>
    <h3>Overall</h3>
    <${Chart} label="Attention by joint over whole clips" build=${build} inputs=${[value]} rows=${rows} columns=${ROW_COLUMNS} rowKey=${(row) => row.joint} />
  </div>`;
}

const readable = (joint) => joint.replaceAll("_", " ");

const CELL_COLUMNS = [
  { label: "From", isNumber: true, value: (cell) => duration(cell.from) },
  { label: "Joint", isHeader: true, value: (cell) => cell.joint },
  { label: "Attention", isNumber: true, value: (cell) => number(cell.magnitude) },
  { label: "Clips", isNumber: true, value: (cell) => count(cell.clips) },
];
const ROW_COLUMNS = [
  { label: "Joint", isHeader: true, value: (row) => row.joint },
  { label: "Attention", isNumber: true, value: (row) => number(row.magnitude) },
];
