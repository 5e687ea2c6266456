// Says that something was decided about a clip since its page was drawn, or that it was scored again, and shows it.
import { html, useState } from "../html.js";
import { useLive } from "../live.js";

/** `show`: asks again for what the page shows. */
export function ClipNews({ id, challenge, show }) {
  const [said, setSaid] = useState("");
  useLive({
    challenge,
    onEvent: ({ name, data }) => {
      if (name === "decision" && data.decision.clip_id === id) setSaid(`The traffic pools decided about this clip: ${data.decision.sentence}.`);
      if (name === "clip" && data.clip_id === id) setSaid("This clip was scored again.");
      if (name === "skipped") setSaid("Something may have happened to this clip.");
    },
  });
  const showNow = () => {
    setSaid("");
    show();
  };
  return html`<p class="news" role="status">${said && html`<span>${said}</span> <button type="button" onClick=${showNow}>Show</button>`}</p>`;
}
