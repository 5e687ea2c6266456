// Said on every page: scores of a model that learned from synthetic clips mean nothing for real dances.
import { html, useEffect } from "../html.js";
import { get, hasAnswered } from "../api.js";
import { href } from "../router.js";
import { store, useStore } from "../store.js";

const notice = store(null);
let isAsked = false;

/** Asked once for each load of the page; without an answer nothing is said. */
async function ask() {
  if (isAsked) return;
  isAsked = true;
  try {
    const { card } = await get("v1/model", { points: 0 });
    notice.set(card?.is_active ? card.warning : null);
  } catch {
    isAsked = false; // the pages say themselves what fails
  }
}

export function SyntheticNotice({ at }) {
  const said = useStore(notice);
  const isAnswering = useStore(hasAnswered);
  useEffect(() => {
    if (isAnswering) ask();
  }, [isAnswering, at]);
  if (said === null) return null;
  return html`<aside class="notice" aria-label="What the scores are worth"><strong>Synthetic.</strong> ${said} <a href=${href(["model"])}>About the model</a></aside>`;
}
