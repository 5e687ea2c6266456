// A moving skeleton: a player with all its controls, and a small one that only moves.
import { html, useEffect, useId, useMemo, useRef, useState } from "../html.js";
import { number } from "../format.js";
import { described, draw, extent } from "../skeletons/figure.js";
import { animate, prefersStillness, watchVisibility } from "../skeletons/loop.js";

const SPEEDS = { 0.25: "¼ speed", 0.5: "½ speed", 1: "Full speed" };
const LONGEST_ARROW = 3;

/** Draws again when the element is resized or the theme changes; gives whether it can be seen. */
function useCanvas(canvas, redraw) {
  const [isVisible, setVisible] = useState(false);
  const latest = useRef(redraw);
  latest.current = redraw;
  useEffect(() => {
    const again = () => latest.current();
    const sizes = new ResizeObserver(again);
    sizes.observe(canvas.current);
    const theme = new MutationObserver(again);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const unwatch = watchVisibility(canvas.current, setVisible);
    return () => {
      sizes.disconnect();
      theme.disconnect();
      unwatch();
    };
  }, []);
  return isVisible;
}

/**
 * `skeleton`: an answer of /skeleton. `guidance`: an answer of /guidance at the same rate, or null. `label`: who dances.
 * `seek`: `{frame}`; another object takes the player there and stops it.
 */
export function SkeletonPlayer({ label, skeleton, guidance = null, seek = null }) {
  const frames = skeleton.positions.length;
  const area = useMemo(() => extent(skeleton.positions), [skeleton]);
  const canvas = useRef(null);
  const position = useRef(0); // in seconds
  const [frame, setFrame] = useState(0);
  const [isPlaying, setPlaying] = useState(() => frames > 1 && !prefersStillness());
  const [speed, setSpeed] = useState(1);
  const [arrows, setArrows] = useState(2);
  const arrowsId = useId();
  const positionId = useId();
  const shown = Math.min(frame, frames - 1);
  const redraw = () => draw(canvas.current, { skeleton, area, frame: shown, guidance, arrows });
  const isVisible = useCanvas(canvas, redraw);
  useEffect(redraw, [skeleton, guidance, shown, arrows, isVisible]);
  useEffect(() => {
    if (!isPlaying || !isVisible) return undefined;
    return animate((elapsedS) => {
      position.current = (position.current + elapsedS * speed) % (frames / skeleton.rate_hz);
      setFrame(Math.min(frames - 1, Math.floor(position.current * skeleton.rate_hz)));
    });
  }, [isPlaying, isVisible, speed, skeleton]);
  const show = (wanted) => {
    const next = Math.max(0, Math.min(frames - 1, wanted));
    position.current = next / skeleton.rate_hz;
    setPlaying(false);
    setFrame(next);
  };
  useEffect(() => {
    if (seek !== null) show(seek.frame);
  }, [seek]);
  const press = (event) => {
    if (event.target.matches("input, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    const wanted = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: frames - 1 }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    show(wanted);
  };
  const seconds = (shown / skeleton.rate_hz).toFixed(2);
  // While it moves, only that it does: a screen reader would never come to an end.
  const words = isPlaying ? "moving" : described(skeleton, guidance, shown);
  return html`<div class="player" role="group" aria-label="Moving skeleton: ${label}" onKeyDown=${press}>
    <canvas ref=${canvas} class="stage" role="img" aria-label="Skeleton of ${label}, ${words}" onClick=${() => setPlaying(frames > 1 && !isPlaying)}></canvas>
    ${area === null && html`<p class="empty">No joint was seen in any frame of this clip.</p>`}
    <div class="controls">
      <button type="button" class="primary play" onClick=${() => setPlaying(!isPlaying)} disabled=${frames < 2}>${isPlaying ? "Pause" : "Play"}</button>
      <label class="visually-hidden" for=${positionId}>Position</label>
      <input id=${positionId} class="position" type="range" min="0" max=${frames - 1} step="1" value=${shown} disabled=${frames < 2}
        aria-valuetext="${seconds} seconds, frame ${shown + 1} of ${frames}" onInput=${(event) => show(Number(event.target.value))} />
      <output class="number">${seconds} s</output>
      <label><span class="visually-hidden">Speed</span>
        <select value=${speed} onChange=${(event) => setSpeed(Number(event.target.value))}>
          ${Object.entries(SPEEDS).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
        </select>
      </label>
      ${guidance !== null &&
      html`<span class="arrows"><label for=${arrowsId}>Arrows</label>
        <input id=${arrowsId} type="range" min="0" max=${LONGEST_ARROW} step="0.25" value=${arrows}
          aria-valuetext=${arrows === 0 ? "none" : `the longest is ${arrows} times the size of the body`} onInput=${(event) => setArrows(Number(event.target.value))} /></span>`}
    </div>
    <p class="hint legend"><span class="left">left</span> and <span class="right">right</span> side of the dancer${guidance !== null && html`; <span class="arrow">arrows</span>: where to move to raise the score; the longest one of the clip stands for ${number(guidance.largest)} score per unit of the coordinates`}. Space plays and pauses on the button; ← and → go by a frame.</p>
    <p class="visually-hidden" role="status">${words}</p>
  </div>`;
}

/** Moves while it can be seen and `isMoving`; otherwise the frame in the middle stands still. */
export function SkeletonThumbnail({ label, skeleton, isMoving = true }) {
  const frames = skeleton.positions.length;
  const area = useMemo(() => extent(skeleton.positions), [skeleton]);
  const canvas = useRef(null);
  const position = useRef(Math.floor(frames / 2) / skeleton.rate_hz);
  const redraw = () => draw(canvas.current, { skeleton, area, frame: Math.min(frames - 1, Math.floor(position.current * skeleton.rate_hz)) });
  const isVisible = useCanvas(canvas, redraw);
  useEffect(redraw, [skeleton, isVisible]);
  useEffect(() => {
    if (!isMoving || !isVisible || frames < 2) return undefined;
    let drawn = -1;
    return animate((elapsedS) => {
      position.current = (position.current + elapsedS) % (frames / skeleton.rate_hz);
      const frame = Math.floor(position.current * skeleton.rate_hz);
      if (frame === drawn) return;
      drawn = frame;
      redraw();
    });
  }, [isMoving, isVisible, skeleton]);
  return html`<canvas ref=${canvas} class="thumbnail" role="img" aria-label="Skeleton of ${label}"></canvas>`;
}
