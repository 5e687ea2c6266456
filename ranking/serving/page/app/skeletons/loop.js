// One loop of frames for all that moves on the page: it runs while something that can be seen moves.
const moving = new Set();
let last = null;

function turn(nowMs) {
  const elapsedS = last === null ? 0 : Math.min((nowMs - last) / 1000, 0.25); // a tab that was hidden does not jump
  last = nowMs;
  for (const each of [...moving]) each(elapsedS);
  if (moving.size > 0) requestAnimationFrame(turn);
  else last = null;
}

/** Calls `step(elapsedS)` with each frame of the screen, until the function that is returned is called. */
export function animate(step) {
  moving.add(step);
  if (moving.size === 1 && last === null) requestAnimationFrame(turn);
  return () => moving.delete(step);
}

/** How many move now: for tests. */
export const movingNow = () => moving.size;

const watched = new WeakMap();
const observer = new IntersectionObserver(
  (entries) => entries.forEach((entry) => watched.get(entry.target)?.(entry.isIntersecting)),
  { rootMargin: "100px" },
);

/** Calls `changed(isVisible)` when an element comes near the window or leaves it. */
export function watchVisibility(element, changed) {
  watched.set(element, changed);
  observer.observe(element);
  return () => {
    observer.unobserve(element);
    watched.delete(element);
  };
}

export const prefersStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
