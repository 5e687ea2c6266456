// One of several, as buttons beside each other; radio buttons for keyboards and screen readers.
import { html, useId } from "../html.js";

/** `options`: value → label. `onChoose(value)`. */
export function Choice({ legend, options, value, onChoose }) {
  const name = useId();
  return html`<fieldset class="choice">
    <legend>${legend}</legend>
    <div class="options">
      ${Object.entries(options).map(
        ([each, label]) => html`<label key=${each}>
          <input type="radio" name=${name} value=${each} checked=${each === value} onChange=${() => onChoose(each)} />${label}
        </label>`,
      )}
    </div>
  </fieldset>`;
}
