// Every challenge and how many clips it has.
import { html, useMemo, useState } from "../html.js";
import { at, get } from "../api.js";
import { useAnswer } from "../answers.js";
import { Loading } from "../components/loading.js";
import { NewClips } from "../components/new_clips.js";
import { PageTitle } from "../components/page_title.js";
import { Problem } from "../components/problem.js";
import { Table } from "../components/table.js";
import { count, plural } from "../format.js";
import { href, setQuery } from "../router.js";

const ORDERS = { clips: "most clips first", name: "by name" };

export default function Challenges({ query }) {
  const { value, error, isLoading, reload } = useAnswer((signal) => get(at`/v1/challenges`, {}, { signal }), []);
  const sought = query.search ?? "";
  const order = query.order === "name" ? "name" : "clips";
  const found = useMemo(() => sorted((value ?? []).filter(fits(sought)), order), [value, sought, order]);
  return html`<${PageTitle} title="Challenges" lead="A challenge collects clips of one dance. Its clips are ranked against each other." />
    ${isLoading && value === null && html`<${Loading} what="the challenges" />`}
    ${error && html`<${Problem} error=${error} retry=${reload} what="The challenges cannot be shown" />`}
    ${value?.length === 0 && html`<p class="empty">No clip has been scored yet. Challenges appear here with their first clips; “dancerank produce” sends uploads.</p>`}
    ${value !== null && html`<${NewClips} show=${reload} />`}
    ${value?.length > 0 &&
    html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
        <label>Search <input type="search" value=${sought} maxlength="128" onInput=${(event) => setQuery({ search: event.target.value })} /></label>
        <label>Order
          <select value=${order} onChange=${(event) => setQuery({ order: event.target.value === "clips" ? null : event.target.value })}>
            ${Object.entries(ORDERS).map(([name, label]) => html`<option key=${name} value=${name}>${label}</option>`)}
          </select>
        </label>
        <output>${sought ? `${count(found.length)} of ${plural(value.length, "challenge")}` : plural(value.length, "challenge")}</output>
      </form>
      <${Table} caption="Challenges, ${ORDERS[order]}" rows=${found} columns=${COLUMNS} rowKey=${(each) => each.challenge_id}
        empty="No challenge has a name like that." />
      <${WhenOpened} />`}`;
}

/** The tips of all challenges, which are asked for, with all that draws them, once somebody wants to see them. */
function WhenOpened() {
  const [Tips, setTips] = useState(null);
  const open = async (event) => {
    if (event.target.open && Tips === null) {
      const { OverallTips } = await import("./challenges/overall_tips.js");
      setTips(() => OverallTips);
    }
  };
  return html`<details class="card" onToggle=${open}>
    <summary>Where to pay attention, by challenge</summary>
    ${Tips && html`<${Tips} />`}
  </details>`;
}

const COLUMNS = [
  { label: "Challenge", isHeader: true, value: (each) => html`<a href=${href(["challenges", each.challenge_id])}><bdi>${each.challenge_id}</bdi></a>` },
  { label: "Clips", isNumber: true, value: (each) => count(each.clips) },
];

const fits = (sought) => {
  const lower = sought.trim().toLocaleLowerCase();
  return (each) => each.challenge_id.toLocaleLowerCase().includes(lower);
};

function sorted(challenges, order) {
  const byName = (a, b) => (a.challenge_id < b.challenge_id ? -1 : 1);
  return challenges.sort(order === "name" ? byName : (a, b) => b.clips - a.clips || byName(a, b));
}
