// Draws the page that the address names.
import { html, render, useEffect, useState } from "./html.js";
import { Layout } from "./layout.js";
import { Loading } from "./components/loading.js";
import { Defect } from "./components/problem.js";
import NotFound from "./pages/not_found.js";
import { href, route } from "./router.js";
import { find } from "./routes.js";
import { useStore } from "./store.js";

function Page() {
  const { segments, query } = useStore(route);
  const found = find(segments);
  const [loaded, setLoaded] = useState({ route: null, component: null, error: null });
  useEffect(() => {
    if (found === null) return undefined;
    if (found.route.redirect) {
      history.replaceState(null, "", href(found.route.redirect));
      dispatchEvent(new HashChangeEvent("hashchange"));
      return undefined;
    }
    let isWanted = true;
    found.route.load().then(
      (module) => isWanted && setLoaded({ route: found.route, component: module.default, error: null }),
      (error) => isWanted && setLoaded({ route: found.route, component: null, error }),
    );
    return () => {
      isWanted = false;
    };
  }, [found?.route]);
  if (found === null) return html`<${NotFound} />`;
  if (loaded.route !== found.route) return html`<${Loading} what="the page" />`;
  if (loaded.error !== null) return html`<${Defect} error=${loaded.error} />`;
  // The key makes another clip another page: nothing of the one before stays.
  return html`<${loaded.component} key=${segments.join("/")} ...${found.identifiers} query=${query} />`;
}

render(html`<${Layout}><${Page} /><//>`, document.getElementById("app"));
