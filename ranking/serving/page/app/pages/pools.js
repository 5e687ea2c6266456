// The traffic pools: how full they are, what they decide, and what another policy would do.
import { html, useEffect } from "../html.js";
import { get } from "../api.js";
import { useAnswer } from "../answers.js";
import { PageTitle } from "../components/page_title.js";
import { Section } from "../components/section.js";
import { Budgets } from "./pools/budgets.js";
import { Comparison } from "./pools/comparison.js";
import { Decisions } from "./pools/decisions.js";
import { DryRun } from "./pools/dry_run.js";
import { Tiers } from "./pools/tiers.js";

const AGAIN_MS = 10_000;

export default function Pools() {
  const pools = useAnswer((signal) => get("v1/pools", {}, { signal }), []);
  const history = useAnswer((signal) => get("v1/pools/history", { windows: 56 }, { signal }), []);
  useEffect(() => {
    if (pools.value === null) return undefined;
    const timer = setInterval(() => !document.hidden && pools.reload(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [pools.value]);
  return html`<${PageTitle} title="Pools" lead="A clip is shown to few people first, and to more as long as they react. Every step has a reason." />
    <${Section} title="Tiers now" answer=${pools} what="the tiers">${(value) => html`<${Tiers} value=${value} />`}<//>
    <${Section} title="Budgets over time" answer=${history} what="the budgets">${(value) => html`<${Budgets} value=${value} />`}<//>
    ${pools.value !== null && html`<${Decisions} /><${DryRun} />`}
    <${Comparison} />`;
}
