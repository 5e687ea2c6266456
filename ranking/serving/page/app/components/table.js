// Tables, of which one page is drawn at a time: thousands of rows cost what fifty do.
import { html, useEffect, useState } from "../html.js";
import { count } from "../format.js";
import { announce } from "./announce.js";

/**
 * `columns`: `{label, value(row), isNumber?, isHeader?}`; `value` gives text or a node. `caption` says what the table
 * holds; `isCaptionHidden` keeps it for screen readers where a heading says the same. `rowKey(row)`.
 */
export function Table({ caption, columns, rows, rowKey, pageSize = 50, isCaptionHidden = false, empty = "There are none." }) {
  const [page, setPage] = useState(0);
  const pages = Math.max(1, Math.ceil(rows.length / pageSize));
  useEffect(() => {
    if (page >= pages) setPage(pages - 1);
  }, [page, pages]);
  const first = Math.min(page, pages - 1) * pageSize;
  const shown = rows.slice(first, first + pageSize);
  const turn = (to) => {
    setPage(to);
    announce(`Rows ${count(to * pageSize + 1)} to ${count(Math.min((to + 1) * pageSize, rows.length))}`);
  };
  if (rows.length === 0) return html`<p class="empty">${empty}</p>`;
  return html`<div class="table">
    <div class="scroll" role="region" aria-label=${caption} tabindex="0">
      <table>
        <caption class=${isCaptionHidden ? "visually-hidden" : null}>${caption}</caption>
        <thead>
          <tr>${columns.map((column) => html`<th scope="col" key=${column.label} class=${column.isNumber ? "number" : null}>${column.label}</th>`)}</tr>
        </thead>
        <tbody>
          ${shown.map((row) => html`<tr key=${rowKey(row)}>${columns.map((column) => cell(column, row))}</tr>`)}
        </tbody>
      </table>
    </div>
    ${pages > 1 &&
    html`<${Pager} label=${caption} previous=${page > 0 ? () => turn(page - 1) : null} next=${page < pages - 1 ? () => turn(page + 1) : null}>
      ${count(first + 1)}–${count(first + shown.length)} of ${count(rows.length)}
    <//>`}
  </div>`;
}

function cell(column, row) {
  const shown = column.value(row);
  const type = column.isNumber ? "number" : null;
  return column.isHeader
    ? html`<th scope="row" key=${column.label} class=${type}>${shown}</th>`
    : html`<td key=${column.label} class=${type}>${shown}</td>`;
}

/** Buttons to the page before and after; `null` where there is none. `children` say where one is. */
export const Pager = ({ label, previous, next, children }) => html`<nav class="pager" aria-label="Pages of: ${label}">
  <button type="button" aria-label="Previous" disabled=${previous === null} onClick=${previous}>←</button>
  <span>${children}</span>
  <button type="button" aria-label="Next" disabled=${next === null} onClick=${next}>→</button>
</nav>`;
