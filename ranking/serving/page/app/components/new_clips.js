// How many clips have come since the page was drawn, and a button that shows them.
import { html, useEffect, useState } from "../html.js";
import { plural } from "../format.js";
import { useLive } from "../live.js";

/**
 * `challenge`: only its clips; without it those of all challenges. `about(clip)`: which of them count. `show`: asks
 * again for what the page shows. Nothing is moved under the reader's eyes.
 */
export function NewClips({ challenge = null, about = () => true, show }) {
  const [news, setNews] = useState({ clips: 0, isSomeMissing: false });
  useEffect(() => setNews({ clips: 0, isSomeMissing: false }), [challenge]);
  useLive({
    challenge,
    onEvent: ({ name, data }) => {
      if (name === "clip" && about(data)) setNews((before) => ({ ...before, clips: before.clips + 1 }));
      if (name === "skipped") setNews((before) => ({ ...before, isSomeMissing: true }));
    },
  });
  const showNow = () => {
    setNews({ clips: 0, isSomeMissing: false });
    show();
  };
  const isNew = news.clips > 0 || news.isSomeMissing;
  return html`<p class="news" role="status">
    ${isNew && html`${news.isSomeMissing ? "At least " : ""}${plural(news.clips, "new clip")} <button type="button" onClick=${showNow}>Show</button>`}
  </p>`;
}
