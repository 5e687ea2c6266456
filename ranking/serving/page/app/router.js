// Addresses of the page: #/challenges/ID?by=skeletal. One file serves them all, below any prefix.
import { store } from "./store.js";

/** `{segments, query}` of an address; what is not percent-encoding stands for itself. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { segments: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The address of a page: href(["challenges", id], {by: "skeletal"}). Values that are empty are left out. */
export function href(segments, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${segments.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = store(parse(location.hash));

addEventListener("hashchange", () => route.set(parse(location.hash)));

/** Go to a page, as a link would. */
export function go(segments, query) {
  location.hash = href(segments, query);
}

/** Change parameters of this page without another entry in the history. */
export function setQuery(changes) {
  const { segments, query } = route.get();
  history.replaceState(null, "", href(segments, { ...query, ...changes }));
  route.set(parse(location.hash));
}
