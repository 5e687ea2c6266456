import { html } from "../html.js";
import { PageTitle } from "../components/page_title.js";
import { href } from "../router.js";

export default function NotFound() {
  return html`<${PageTitle} title="There is no such page" />
    <p>The address names no page. Start from <a href=${href(["challenges"])}>the challenges</a>.</p>`;
}
