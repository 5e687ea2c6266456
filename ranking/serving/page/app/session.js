// The API key of this tab. It is in sessionStorage, so that it ends with the tab, and leaves in the header only.
import { store } from "./store.js";

const KEY = "dancerank.key";

/** Why a key is asked for: `null`, or `{message, answer}` while the dialog is open. */
export const asking = store(null);
/** Whether the API has asked for a key at all. */
export const keysAreAskedFor = store(readKey() !== null);

let refused = false;
let waiting = null;

function readKey() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

let key = readKey();

export const currentKey = () => key;

/** Printable ASCII without spaces, as a header can carry it. */
export const canBeAKey = (text) => /^[\x21-\x7e]+$/.test(text);

function keep(given) {
  key = given;
  try {
    if (given === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, given);
  } catch {
    // It holds until the page is loaded again.
  }
}

/**
 * The key to try next after `used` was refused with `message`; `null` if the person gave none.
 * Requests that are refused together share one dialog; whoever closed it is not asked again by other requests.
 */
export function keyAfter(used, message) {
  keysAreAskedFor.set(true);
  if (key !== used) return Promise.resolve(key);
  if (refused) return Promise.resolve(null);
  return askForKey(message);
}

/** Open the dialog; resolves with the key, or `null` if it was closed. */
export function askForKey(message = "") {
  waiting ??= new Promise((resolve) => {
    const answer = (given) => {
      refused = given === null;
      if (given !== null) keep(given);
      waiting = null;
      asking.set(null);
      resolve(given);
    };
    asking.set({ message, answer });
  });
  return waiting;
}

export function forgetKey() {
  keep(null);
  refused = false;
}
