// Numbers and times as people read them; "–" where there is none.

const NONE = "–";
const counts = new Intl.NumberFormat("en");

const isThere = (value) => typeof value === "number" && Number.isFinite(value);

/** 12345 → "12,345" */
export const count = (value) => (isThere(value) ? counts.format(value) : NONE);

/** As in print: −0.5 with a minus sign, which is as wide as a digit, and no 0 below zero. */
const signed = (text) => text.replace(/^-(?=0(\.0*)?$)/, "").replace(/^-/, "−");

/** 0.12345 → "0.123": three significant digits, without an exponent where it can be avoided. */
export function number(value, digits = 3) {
  if (!isThere(value)) return NONE;
  return signed(
    Math.abs(value) < 1e-6 && value !== 0
      ? value.toExponential(digits - 1)
      : new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value),
  );
}

/** 0.12 → "0.120", for columns of scores and similarities. */
export const fixed = (value, decimals = 3) => (isThere(value) ? signed(value.toFixed(decimals)) : NONE);

/** 268435456 → "268 MB". */
export function bytes(value) {
  if (!isThere(value)) return NONE;
  const power = Math.max(0, Math.min(BYTES.length - 1, Math.floor(Math.log10(value || 1) / 3)));
  return `${number(value / 1000 ** power)} ${BYTES[power]}`;
}

const BYTES = ["bytes", "kB", "MB", "GB", "TB"];

/** A share of 1: 0.1234 → "12 %", with `digits` "12.3 %". */
export const percent = (share, digits = 0) => (isThere(share) ? `${(share * 100).toFixed(digits)} %` : NONE);

/** A percentile, 0 to 100: 97.25 → "97.3". */
export const percentile = (value) => (isThere(value) ? value.toFixed(1) : NONE);

/** Milliseconds since the epoch → the day and the minute in the zone of the reader. */
export function time(ms) {
  if (!isThere(ms)) return NONE;
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? NONE : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/**
 * What Plot writes at the ticks of an axis of time: "23:15" and, where the day is another one than at the tick before,
 * "27 Nov" below it; of whole days the day alone.
 */
export function tickTime(date, index, ticks) {
  const isMidnight = (each) => each.getHours() + each.getMinutes() + each.getSeconds() === 0;
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  if (ticks.every((each) => isMidnight(new Date(each)))) return day;
  const clock = ticks.some((each) => new Date(each).getSeconds() !== 0) ? { timeStyle: "medium" } : { timeStyle: "short" };
  const isFirst = index === 0 || new Date(ticks[index - 1]).toDateString() !== date.toDateString();
  return `${date.toLocaleTimeString("en-GB", clock)}${isFirst ? `\n${day}` : ""}`;
}

/** 75 → "1 min 15 s"; 12.3 → "12.3 s". */
export function duration(seconds) {
  if (!isThere(seconds)) return NONE;
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A dance style as the API names it; "unknown" stands for none that the classifier of the bundle knows. */
export const styleName = (style) => (style === "unknown" ? "not recognised" : style);

/** 1, "clip" → "1 clip"; 2 → "2 clips". */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
