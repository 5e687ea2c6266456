// The heading of a page. After a navigation it has the focus, so that a screen reader begins there.
import { html, useEffect, useRef } from "../html.js";

let isFirst = true;

export function PageTitle({ children, title, lead = null }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${title} · dancerank`;
  }, [title]);
  useEffect(() => {
    if (!isFirst) {
      heading.current.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst = false;
  }, []);
  return html`<div class="page-title">
    <h1 ref=${heading} tabindex="-1"><bdi>${children ?? title}</bdi></h1>
    ${lead && html`<p class="lead">${lead}</p>`}
  </div>`;
}
