// A classic script, which runs before the page is drawn: the theme is there from the first frame on, in `data-theme` of
// the root. Without a choice it is the operating system's, by prefers-color-scheme.
(() => {
  const KEY = "dancerank.theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "system";
  const apply = () => {
    root.dataset.theme = chosen === "system" ? (system.matches ? "dark" : "light") : chosen;
  };
  const choose = (theme) => {
    chosen = theme === "light" || theme === "dark" ? theme : "system";
    apply();
  };
  const remembered = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  choose(remembered());
  system.addEventListener("change", apply);
  window.dancerankTheme = {
    /** "light", "dark" or "system". */
    get: () => chosen,
    set: (theme) => {
      choose(theme);
      try {
        if (chosen === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, chosen);
      } catch {
        // It holds for this page then.
      }
    },
  };
})();
