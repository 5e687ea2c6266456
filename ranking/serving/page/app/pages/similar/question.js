// What is asked for, as it stands in the address, and as POST /v1/similar takes it.
import { DIMENSIONS, MODALITIES, ROUTINE } from "../../dimensions.js";

export const PAGE = 12;
export const UNLIKE_MOST = 50;
const DAY_MS = 86_400_000;

/** The question of an address. What cannot be read in it is left out. */
export function questionOf(query) {
  return {
    clip: query.clip ?? null,
    dancer: query.clip ? null : (query.dancer ?? null),
    generation: query.generation ?? null,
    weights: weightsOf(query.weights ?? ""),
    namesRoutine: namesRoutine(query.weights ?? ""),
    challenge: query.challenge ?? "",
    from: isDay(query.from) ? query.from : "",
    to: isDay(query.to) ? query.to : "",
    low: percentileOf(query.low, 0),
    high: percentileOf(query.high, 100),
    by: DIMENSIONS.includes(query.by) ? query.by : "fused",
    tier: query.tier ?? "",
    style: query.style ?? "",
    group: query.group === "dancer" ? "dancer" : "clip",
    own: query.own === "1",
    like: idsOf(query.like),
    unlike: idsOf(query.unlike),
  };
}

/** The parameters of the address for changes to a question; `null` leaves one out. */
export function addressOf(changes) {
  const written = {
    weights: addressedWeights,
    low: (value) => (value === 0 ? null : value),
    high: (value) => (value === 100 ? null : value),
    by: (value) => (value === "fused" ? null : value),
    group: (value) => (value === "clip" ? null : value),
    own: (value) => (value ? "1" : null),
    like: (value) => (value.length ? JSON.stringify(value) : null),
    unlike: (value) => (value.length ? JSON.stringify(value) : null),
  };
  return Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, (written[name] ?? ((each) => each || null))(value)]));
}

/**
 * The body of POST /v1/similar; `null` without an example. `dropped`: what the model made of a file, which counts as the
 * example instead of a clip or a dancer.
 */
export function bodyOf(question, dropped, cursor = null) {
  const first = exampleOf(question, dropped);
  const others = question.like.map((id) => ({ clip_id: id }));
  if (first === null && others.length === 0) return null;
  const example = others.length === 0 ? first : { like: [...(first === null ? [] : [first]), ...others] };
  const present = Object.entries(question.weights).filter(([, weight]) => weight !== 0);
  return dropNulls({
    ...example,
    unlike: question.unlike.length ? question.unlike.map((id) => ({ clip_id: id })) : null,
    weights: Object.fromEntries(present),
    generation: dropped?.generation ?? question.generation,
    challenge_id: question.challenge || null,
    uploaded_from_ms: question.from ? dayMs(question.from) : null,
    uploaded_before_ms: question.to ? dayMs(question.to) + DAY_MS : null,
    percentile_from: question.low > 0 ? question.low : null,
    percentile_to: question.high < 100 ? question.high : null,
    percentile_by: question.low > 0 || question.high < 100 ? question.by : null,
    tier: question.tier || null,
    style: question.style || null,
    group_by: question.group === "dancer" ? "dancer" : null,
    include_own: question.own || null,
    k: PAGE,
    cursor,
  });
}

/** Why a question cannot be asked as it is, or `null`. */
export function objection(question) {
  if (MODALITIES.every((each) => question.weights[each] === 0)) return "Every weight is 0, so nothing is asked for. Move at least one slider.";
  if (question.low > question.high) return "The lowest percentile is above the highest one.";
  if (question.from && question.to && question.from > question.to) return "The first day is after the last one.";
  return null;
}

function exampleOf(question, dropped) {
  if (dropped !== null) return { embeddings: dropped.embeddings };
  if (question.clip) return { clip_id: question.clip };
  if (question.dancer) return { dancer_id: question.dancer };
  return null;
}

const dropNulls = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined));

/** The weight of every modality. One that is not named is 1, and that of routines 0 where all others are: it has no slider then. */
function weightsOf(text) {
  const found = Object.fromEntries(MODALITIES.map((each) => [each, 1]));
  for (const pair of text.split(",").filter(Boolean)) {
    const [name, value] = pair.split(":");
    const weight = Number(value);
    if (name in found && Number.isFinite(weight)) found[name] = Math.max(-1, Math.min(1, weight));
  }
  if (!namesRoutine(text) && MODALITIES.every((each) => each === ROUTINE || found[each] === 0)) found[ROUTINE] = 0;
  return found;
}

const namesRoutine = (text) => text.split(",").some((pair) => pair.split(":")[0] === ROUTINE);

/** Those of `weights`, which lack a modality that has no slider; `null` if each is 1. */
function addressedWeights(weights) {
  const moved = MODALITIES.filter((each) => each in weights);
  return moved.every((each) => weights[each] === 1) ? null : moved.map((each) => `${each}:${weights[each]}`).join(",");
}

const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(text));
const dayMs = (day) => new Date(`${day}T00:00`).getTime(); // in the zone of the reader

function percentileOf(text, otherwise) {
  const value = Number.parseFloat(text ?? "");
  return Number.isFinite(value) ? Math.max(0, Math.min(100, value)) : otherwise;
}

function idsOf(text) {
  try {
    const ids = JSON.parse(text ?? "[]");
    return Array.isArray(ids) ? [...new Set(ids.filter((each) => typeof each === "string" && each))].slice(0, UNLIKE_MOST) : [];
  } catch {
    return [];
  }
}
