// Clips of a challenge that lie outside what the model was trained on: they have scores, which mean little, and no place.
import { html, useEffect, useState } from "../../html.js";
import { at, get } from "../../api.js";
import { useAnswer } from "../../answers.js";
import { ClipLink } from "../../components/clip_links.js";
import { Section } from "../../components/section.js";
import { Pager, Table } from "../../components/table.js";
import { fixed, number } from "../../format.js";

const PAGE = 10;

export function Unranked({ id, generation, version }) {
  const [before, setBefore] = useState([]);
  useEffect(() => setBefore([]), [id, generation, version]);
  const after = before.at(-1) ?? null;
  const answer = useAnswer(
    (signal) => get(at`/v1/challenges/${id}/unranked`, { k: PAGE, after, generation }, { signal }),
    [id, generation, after, version],
  );
  // Most challenges have none: then there is nothing to say.
  if (answer.error === null && !answer.value?.clips.length) return null;
  return html`<${Section} title="In no ranking" answer=${answer} what="the clips that are in no ranking"
    hint="These clips lie outside what the model was trained on: their scores say little, and they take no place from others.">
    ${(value) => html`<${Table} caption="Clips in no ranking, by name" isCaptionHidden rows=${value.clips} columns=${COLUMNS} rowKey=${(clip) => clip.clip_id} />
      ${(before.length > 0 || value.after) &&
      html`<${Pager} label="clips in no ranking" previous=${before.length ? () => setBefore(before.slice(0, -1)) : null}
        next=${value.after ? () => setBefore([...before, value.after]) : null}>page ${before.length + 1}<//>`}`}
  <//>`;
}

const COLUMNS = [
  { label: "Clip", isHeader: true, value: (clip) => html`<${ClipLink} id=${clip.clip_id} />` },
  { label: "Dancer", value: (clip) => html`<bdi>${clip.dancer_id}</bdi>` },
  { label: "Distance, 1 is the limit", isNumber: true, value: (clip) => number(clip.training_distance) },
  { label: "Fused score", isNumber: true, value: (clip) => fixed(clip.score) },
];
