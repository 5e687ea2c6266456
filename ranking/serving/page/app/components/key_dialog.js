// Asks for the API key when the API does. A modal dialog of the browser: focus stays in it and returns afterwards.
import { html, useEffect, useRef, useState } from "../html.js";
import { asking, canBeAKey } from "../session.js";
import { useStore } from "../store.js";

export function KeyDialog() {
  const asked = useStore(asking);
  return asked === null ? null : html`<${Dialog} message=${asked.message} answer=${asked.answer} />`;
}

function Dialog({ message, answer }) {
  const dialog = useRef(null);
  const [problem, setProblem] = useState(message);
  useEffect(() => dialog.current.showModal(), []);
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target).get("key").trim();
    if (canBeAKey(given)) answer(given);
    else setProblem(given ? "An API key has only printable ASCII characters and no spaces." : "Enter the key.");
  };
  return html`<dialog ref=${dialog} aria-labelledby="key-title" onCancel=${() => answer(null)} class="key-dialog">
    <form onSubmit=${submit}>
      <h2 id="key-title">This service asks for an API key</h2>
      <p>It is kept for this tab only. An operator makes one with <code>dancerank keys create</code>.</p>
      <label for="key">API key</label>
      <input id="key" name="key" type="password" autocomplete="off" spellcheck="false" autofocus
        aria-invalid=${problem ? "true" : null} aria-describedby="key-problem" />
      <p id="key-problem" class="field-problem" role="alert">${problem}</p>
      <p class="actions">
        <button type="submit" class="primary">Use the key</button>
        <button type="button" onClick=${() => answer(null)}>Cancel</button>
      </p>
    </form>
  </dialog>`;
}
