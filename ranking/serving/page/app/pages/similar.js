// Who dances like this? The example is a clip, a dancer, several clips, or a file of the visitor.
import { html, useEffect, useState } from "../html.js";
import { post } from "../api.js";
import { useAnswer, useRequest } from "../answers.js";
import { announce } from "../components/announce.js";
import { ClipLink } from "../components/clip_links.js";
import { PageTitle } from "../components/page_title.js";
import { Loading } from "../components/loading.js";
import { Problem } from "../components/problem.js";
import { ROUTINE } from "../dimensions.js";
import { plural } from "../format.js";
import { setQuery } from "../router.js";
import { prefersStillness } from "../skeletons/loop.js";
import { Dropped } from "./similar/dropped.js";
import { Filters } from "./similar/filters.js";
import { Hits } from "./similar/hits.js";
import { addressOf, bodyOf, objection, questionOf, UNLIKE_MOST } from "./similar/question.js";
import { Weights } from "./similar/weights.js";

export default function Similar({ query }) {
  const question = questionOf(query);
  const [dropped, setDropped] = useState(null);
  const [isMoving, setMoving] = useState(() => !prefersStillness());
  const [isOfRoutine, setOfRoutine] = useState(false);
  const change = (changes) => setQuery(addressOf(changes));
  const mark = (list, other, id) => {
    const marked = [...question[list].filter((each) => each !== id), id].slice(-UNLIKE_MOST);
    change({ [list]: marked, [other]: question[other].filter((each) => each !== id) });
    announce(list === "like" ? `More like ${id}` : `Not like ${id}`);
  };
  return html`<${PageTitle} title="Who dances like this?" lead="Clips that are similar to an example, by what you say counts." />
    <div class="similar">
      <div class="question">
        <${Example} question=${question} dropped=${dropped} onChange=${change} />
        <section class="card" aria-label="Weights"><${Weights} weights=${question.weights} hasRoutine=${isOfRoutine || question.namesRoutine} onChange=${(weights) => change({ weights })} /></section>
        <${Dropped} dropped=${dropped} onScored=${setDropped} />
      </div>
      <div>
        <${Filters} question=${question} onChange=${change} />
        <label class="check"><input type="checkbox" checked=${isMoving} onChange=${(event) => setMoving(event.target.checked)} /> Moving skeletons</label>
        <${Found} question=${question} dropped=${dropped?.answer ?? null} isMoving=${isMoving} onAnswer=${(found) => setOfRoutine(found.weights[ROUTINE] !== undefined)}
          onLike=${(id) => mark("like", "unlike", id)} onUnlike=${(id) => mark("unlike", "like", id)} />
      </div>
    </div>`;
}

function Example({ question, dropped, onChange }) {
  const [kind, setKind] = useState(question.dancer ? "dancer" : "clip");
  const asked = question.clip ?? question.dancer ?? "";
  useEffect(() => {
    if (asked) setKind(question.clip ? "clip" : "dancer");
  }, [asked]);
  const submit = (event) => {
    event.preventDefault();
    const id = new FormData(event.target).get("example").trim();
    onChange({ clip: kind === "clip" ? id : null, dancer: kind === "dancer" ? id : null });
  };
  return html`<section class="card" aria-labelledby="example-title">
    <h2 id="example-title">The example</h2>
    ${dropped && html`<p class="hint">A file is the example, below; remove it to ask for a clip or a dancer.</p>`}
    <form class="filters" onSubmit=${submit}>
      <label>Kind
        <select value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="clip">Clip</option><option value="dancer">Dancer</option></select>
      </label>
      <label>Id <input name="example" key=${asked} defaultValue=${asked} maxlength="128" autocomplete="off" spellcheck="false" required /></label>
      <button type="submit">Search</button>
    </form>
    <${Marked} label="More like" ids=${question.like} generation=${question.generation} remove=${(id) => onChange({ like: question.like.filter((each) => each !== id) })} />
    <${Marked} label="Not like" ids=${question.unlike} generation=${question.generation} remove=${(id) => onChange({ unlike: question.unlike.filter((each) => each !== id) })} />
  </section>`;
}

const Marked = ({ label, ids, generation, remove }) =>
  ids.length === 0
    ? null
    : html`<p class="hint">${label}</p>
        <ul class="marked" aria-label=${label}>
          ${ids.map((id) => html`<li key=${id}><${ClipLink} id=${id} query=${{ generation }} /> <button type="button" aria-label="Remove ${id}" onClick=${() => remove(id)}>Remove</button></li>`)}
        </ul>`;

function Found({ question, dropped, isMoving, onAnswer, onLike, onUnlike }) {
  const objected = objection(question) ?? incomparable(dropped);
  const body = objected === null ? bodyOf(question, dropped) : null;
  const asked = JSON.stringify(body);
  const answer = useAnswer((signal) => (body === null ? Promise.resolve(null) : post("v1/similar", body, { signal })), [asked]);
  useEffect(() => {
    if (answer.value) onAnswer(answer.value);
  }, [answer.value]);
  if (objected !== null) return html`<p class="empty">${objected}</p>`;
  if (body === null) return html`<p class="empty">Name a clip or a dancer, or drop a file: then the clips that are most similar appear here.</p>`;
  return html`${answer.error && html`<${Problem} error=${answer.error} retry=${answer.reload} what="The search failed" />`}
    ${answer.value === null && answer.isLoading && html`<${Loading} what="similar clips" />`}
    ${answer.value && html`<div aria-busy=${answer.isLoading ? "true" : "false"}>
      <${Pages} key=${asked} first=${answer.value} question=${question} dropped=${dropped} isMoving=${isMoving} onLike=${onLike} onUnlike=${onUnlike} />
    </div>`}`;
}

/** Why nothing can be compared with a file, or `null`. Without percentiles clips of the active generation are still alike. */
function incomparable(dropped) {
  if (dropped === null || dropped.generation === dropped.active_generation || Object.keys(dropped.percentiles).length > 0) return null;
  return dropped.note ?? "No clip was scored under the generation of this file, so there is nothing to compare it with.";
}

/** The hits of the first page, and of those that were asked for since. */
function Pages({ first, question, dropped, isMoving, onLike, onUnlike }) {
  const [more, setMore] = useState({ hits: [], cursor: first.next_cursor });
  const page = useRequest();
  useEffect(() => {
    page.stop();
    setMore({ hits: [], cursor: first.next_cursor });
  }, [first]);
  const next = () =>
    page.ask((signal) => post("v1/similar", bodyOf(question, dropped, more.cursor), { signal }), (found) => {
      setMore((before) => ({ hits: [...before.hits, ...found.hits], cursor: found.next_cursor }));
      announce(`${plural(found.hits.length, "more clip")}`);
    });
  const hits = [...first.hits, ...more.hits];
  if (hits.length === 0) return html`<p class="empty">No clip passes these filters. Widen them.</p>`;
  return html`<p class="hint" role="status">${plural(hits.length, "hit")}, the most similar first${first.approximate && "; a few more similar clips may have been missed"}.</p>
    <${Hits} hits=${hits} isMoving=${isMoving} generation=${question.generation} onLike=${onLike} onUnlike=${onUnlike} />
    ${page.error && html`<${Problem} error=${page.error} retry=${next} />`}
    ${more.cursor && html`<p class="actions"><button type="button" onClick=${next} disabled=${page.isLoading}>${page.isLoading ? "Loading…" : "More hits"}</button></p>`}`;
}
