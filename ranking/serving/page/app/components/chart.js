// A chart by Observable Plot, with its numbers as a table for who does not see it. The libraries are loaded with the
// first page that has charts. Plot writes its rules into a style element of each chart, which the policy does not
// allow; they are in style/charts.css instead.
import { html, useEffect, useRef, useState } from "../html.js";
import { announce } from "./announce.js";
import { Defect } from "./problem.js";
import { Table } from "./table.js";

let loading = null;

function load() {
  loading ??= import("../../vendor/d3.min.js").then(() => import("../../vendor/plot.min.js")).then(() => globalThis.Plot);
  return loading;
}

load().catch(() => (loading = null)); // a page that has this component will draw a chart; the chart says what failed

/**
 * `build({Plot, width})` gives Plot's options. `label`: the chart in one sentence, with what it shows.
 * `inputs`: the chart is drawn again when one of them changes. `rows`, `columns`, `rowKey`: the numbers, as in `Table`.
 */
export function Chart({ label, build, inputs = [], rows, columns, rowKey, children = null }) {
  const host = useRef(null);
  const [width, setWidth] = useState(0);
  const [error, setError] = useState(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(host.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width === 0) return undefined;
    let isWanted = true;
    load()
      .then((Plot) => {
        if (isWanted) host.current.replaceChildren(drawn(Plot, { className: "chart", width, ...build({ Plot, width }) }));
      })
      .catch((caught) => {
        console.error(caught);
        if (isWanted) setError(caught);
      });
    return () => {
      isWanted = false;
    };
  }, [width, ...inputs]);
  if (error !== null) return html`<${Defect} error=${error} />`;
  return html`<figure class="figure">
    <div class="plot" role="img" aria-label=${label} ref=${host}></div>
    ${children && html`<figcaption>${children}</figcaption>`}
    <details class="numbers" onToggle=${(event) => event.target.open && announce("The numbers are shown.")}>
      <summary>Numbers</summary>
      <${Table} caption=${label} isCaptionHidden rows=${rows} columns=${columns} rowKey=${rowKey} pageSize=${25} />
    </details>
  </figure>`;
}

function drawn(Plot, options) {
  const chart = Plot.plot(options);
  for (const style of chart.querySelectorAll("style")) style.remove();
  for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label"); // the chart is one image
  return chart;
}
