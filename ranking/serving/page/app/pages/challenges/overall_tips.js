// Overall attention to each joint, of the challenges with most guidance (Eq. 9; Fig. 11 (b) of the paper).
import { html } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { Chart } from "../../components/chart.js";
import { Loading } from "../../components/loading.js";
import { Problem } from "../../components/problem.js";
import { count, number, plural } from "../../format.js";

const MOST = 25;

export function OverallTips() {
  const { value, error, reload } = useAnswer((signal) => get(at`/v1/tips`, {}, { signal }), []);
  if (error?.code === "guidance_missing") return html`<p class="empty"><bdi>${error.message}</bdi></p>`;
  if (error) return html`<${Problem} error=${error} retry=${reload} />`;
  return value === null ? html`<${Loading} what="the tips" />` : html`<${Map} value=${value} />`;
}

function Map({ value }) {
  const joints = value.joints.map((joint) => joint.replaceAll("_", " "));
  const challenges = [...value.challenges].sort((a, b) => b.clips - a.clips).slice(0, MOST);
  const cells = challenges.flatMap((each) =>
    joints.map((joint, v) => ({ challenge: each.challenge_id, joint, magnitude: each.overall[v], clips: each.clips })),
  );
  const largest = Math.max(...cells.map((cell) => cell.magnitude));
  const build = ({ Plot }) => ({
    height: 110 + 22 * challenges.length,
    marginLeft: 130,
    marginTop: 8,
    marginBottom: 90,
    x: { domain: joints, label: null, tickRotate: -45, padding: 0.04 },
    y: { domain: challenges.map((each) => each.challenge_id), label: null, padding: 0.04, tickFormat: (id) => (id.length > 18 ? `${id.slice(0, 17)}…` : id) },
    color: { scheme: "viridis", type: "sqrt", domain: [0, largest] }, // as the map of a challenge
    marks: [Plot.cell(cells, { x: "joint", y: "challenge", fill: "magnitude" })],
  });
  return html`<${Chart} label="Overall attention by challenge and joint; brighter is more" build=${build} inputs=${[value]}
    rows=${cells} columns=${COLUMNS} rowKey=${(cell) => `${cell.challenge} ${cell.joint}`}>
    Dark: 0. Bright: ${number(largest)} ${value.unit}; half as bright is a quarter of that. The centre of the body (the thorax, or both shoulders) stands for moving all of it. ${value.challenges.length > MOST && `The ${MOST} of ${plural(value.challenges.length, "challenge")} with most clips.`}
  <//>`;
}

const COLUMNS = [
  { label: "Challenge", isHeader: true, value: (cell) => html`<bdi>${cell.challenge}</bdi>` },
  { label: "Joint", value: (cell) => cell.joint },
  { label: "Attention", isNumber: true, value: (cell) => number(cell.magnitude) },
  { label: "Clips", isNumber: true, value: (cell) => count(cell.clips) },
];
