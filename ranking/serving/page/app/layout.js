// What every page has around it: a link past the navigation, the navigation, the theme, and the dialog for a key.
import { html, useState } from "./html.js";
import { KeyDialog } from "./components/key_dialog.js";
import { announced } from "./components/announce.js";
import { Boundary } from "./components/problem.js";
import { SyntheticNotice } from "./components/synthetic_notice.js";
import { href, route } from "./router.js";
import { ROUTES } from "./routes.js";
import { askForKey, keysAreAskedFor } from "./session.js";
import { useStore } from "./store.js";

const THEMES = { system: "System", light: "Light", dark: "Dark" };

export function Layout({ children }) {
  const { segments } = useStore(route);
  const said = useStore(announced);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="banner">
      <a class="brand" href=${href([])}><img src="page/icon.svg" alt="" width="28" height="28" />dancerank</a>
      <nav aria-label="Pages">
        <ul>
          ${ROUTES.filter((each) => each.label).map(
            (each) => html`<li key=${each.label}>
              <a href=${href(each.path)} aria-current=${segments[0] === each.path[0] ? "page" : null}>${each.label}</a>
            </li>`,
          )}
        </ul>
      </nav>
      <div class="tools"><${KeyButton} /><${ThemeChoice} /></div>
    </header>
    <${SyntheticNotice} at=${segments.join("/")} />
    <main id="main" tabindex="-1"><${Boundary} at=${segments.join("/")}>${children}<//></main>
    <footer class="footer">
      <a href="docs">The API, to try out</a> <a href="redoc">The API, to read</a>
    </footer>
    <div class="visually-hidden" role="status">${said}</div>
    <${KeyDialog} />
  `;
}

// The address names the page, so that the link must not change it.
function skip(event) {
  event.preventDefault();
  const main = document.getElementById("main");
  main.focus();
  main.scrollIntoView();
}

function ThemeChoice() {
  const [theme, setTheme] = useState(window.dancerankTheme.get());
  const choose = (event) => {
    window.dancerankTheme.set(event.target.value);
    setTheme(event.target.value);
  };
  return html`<label class="theme">
    <span>Theme</span>
    <select value=${theme} onChange=${choose}>
      ${Object.entries(THEMES).map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}
    </select>
  </label>`;
}

function KeyButton() {
  const isShown = useStore(keysAreAskedFor);
  if (!isShown) return null;
  const change = async () => {
    if ((await askForKey()) !== null) dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return html`<button type="button" class="quiet" onClick=${change}>API key</button>`;
}
