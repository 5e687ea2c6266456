// A value that components follow.
import { useEffect, useState } from "./html.js";

/** @template T @param {T} initial */
export function store(initial) {
  let value = initial;
  const followers = new Set();
  return {
    get: () => value,
    set: (next) => {
      value = next;
      for (const follower of [...followers]) follower(next);
    },
    follow: (follower) => {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

/** The value of a store, now and whenever it changes. */
export function useStore(followed) {
  const [value, setValue] = useState(followed.get());
  useEffect(() => {
    setValue(followed.get()); // it may have changed since the first drawing
    return followed.follow(setValue);
  }, [followed]);
  return value;
}
