// A classic script, which runs before the page is drawn: the chosen theme is there from the first frame on.
// Without a choice the operating system's counts, by prefers-color-scheme.
(() => {
  const KEY = "dancerank.theme";
  const root = document.documentElement;
  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(chosen());
  window.dancerankTheme = {
    /** "light", "dark" or "system". */
    get: () => root.dataset.theme ?? "system",
    set: (theme) => {
      apply(theme);
      try {
        if (theme === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, theme);
      } catch {
        // It holds for this page then.
      }
    },
  };
})();
