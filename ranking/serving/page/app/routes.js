// The pages, in the order of the navigation. `path`: segments of the address, where ":id" stands for an identifier.
// `label`: the entry in the navigation, if it has one. `load`: the module whose default export is the component; it gets
// the identifiers by name, and `query`.

export const ROUTES = [
  { path: [], redirect: ["challenges"] },
  { path: ["challenges"], label: "Challenges", load: () => import("./pages/challenges.js") },
  { path: ["challenges", ":id"], load: () => import("./pages/challenge.js") },
  { path: ["clips", ":id"], load: () => import("./pages/clip.js") },
  { path: ["similar"], label: "Who dances like this?", load: () => import("./pages/similar.js") },
  { path: ["pools"], label: "Pools", load: () => import("./pages/pools.js") },
  { path: ["model"], label: "Model", load: () => import("./pages/model.js") },
];

/** The route of an address and its identifiers, or `null`. */
export function find(segments) {
  for (const route of ROUTES) {
    if (route.path.length !== segments.length) continue;
    const identifiers = {};
    const fits = route.path.every((part, i) => {
      if (!part.startsWith(":")) return part === segments[i];
      identifiers[part.slice(1)] = segments[i];
      return true;
    });
    if (fits) return { route, identifiers };
  }
  return null;
}
