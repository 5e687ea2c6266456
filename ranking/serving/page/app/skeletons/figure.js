// Draws one frame of a skeleton on a canvas, and what would raise the score as arrows.
// Legend: `positions[t][v]` is [x, y], x to the right and y down, or null for a joint that was not seen.

const PADDING = 0.12;
const LEAST_ARROW = 0.06; // of the largest: shorter ones would hide the others

/** The part of the picture that the dancer moves in: {left, top, width, height}, or null without any joint. */
export function extent(positions) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const frame of positions) {
    for (const joint of frame) {
      if (joint === null) continue;
      left = Math.min(left, joint[0]);
      right = Math.max(right, joint[0]);
      top = Math.min(top, joint[1]);
      bottom = Math.max(bottom, joint[1]);
    }
  }
  return right < left ? null : { left, top, width: right - left || 1, height: bottom - top || 1 };
}

/** Which side of the dancer a joint is on, by its name. */
export const sideOf = (joint) => (joint.startsWith("left ") ? "left" : joint.startsWith("right ") ? "right" : "middle");

/** The colours of the theme that is shown. */
function palette(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { left: colour("--skeletal"), right: colour("--holistic"), middle: colour("--text"), arrow: colour("--facial") };
}

/** Makes the canvas as fine as the screen; gives its size in CSS pixels. */
export function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [fine, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== fine || canvas.height !== high) {
    canvas.width = fine;
    canvas.height = high;
  }
  return { width, height, ratio };
}

/**
 * `skeleton`: an answer of /skeleton. `area`: of `extent`. `guidance`: an answer of /guidance at the same rate, or null;
 * `arrows`: how long the largest arrow is, in sizes of the body.
 */
export function draw(canvas, { skeleton, area, frame, guidance = null, arrows = 1 }) {
  if (canvas === null) return; // it has left the page
  const { width, height, ratio } = fit(canvas);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (area === null || width === 0 || height === 0) return;
  const scale = Math.min((width * (1 - 2 * PADDING)) / area.width, (height * (1 - 2 * PADDING)) / area.height);
  const place = ([x, y]) => [
    width / 2 + (x - area.left - area.width / 2) * scale,
    height / 2 + (y - area.top - area.height / 2) * scale,
  ];
  const joints = skeleton.positions[frame];
  const placed = joints.map((joint) => (joint === null ? null : place(joint)));
  const colours = palette(canvas);
  const thick = Math.max(1.5, Math.min(width, height) / 110);
  drawBones(context, skeleton, placed, colours, thick);
  const vectors = guidance?.vectors[frame];
  if (vectors && guidance.largest > 0) {
    // In pixels of the screen: so long is the largest arrow of the clip.
    const longest = arrows * guidance.body * scale;
    drawArrows(context, placed, vectors, longest / guidance.largest, longest * LEAST_ARROW, colours.arrow, thick);
  }
}

function drawBones(context, skeleton, placed, colours, thick) {
  context.lineCap = "round";
  context.lineWidth = thick;
  for (const [a, b] of skeleton.bones) {
    if (placed[a] === null || placed[b] === null) continue;
    const [one, other] = [sideOf(skeleton.joints[a]), sideOf(skeleton.joints[b])];
    context.strokeStyle = colours[one === other ? one : "middle"];
    context.beginPath();
    context.moveTo(...placed[a]);
    context.lineTo(...placed[b]);
    context.stroke();
  }
  placed.forEach((joint, v) => {
    if (joint === null) return;
    context.fillStyle = colours[sideOf(skeleton.joints[v])];
    context.beginPath();
    context.arc(joint[0], joint[1], thick * 1.3, 0, 2 * Math.PI);
    context.fill();
  });
}

function drawArrows(context, placed, vectors, scale, least, colour, thick) {
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = thick;
  placed.forEach((joint, v) => {
    if (joint === null || vectors[v] === null || vectors[v] === undefined) return;
    const [dx, dy] = [vectors[v][0] * scale, vectors[v][1] * scale];
    const length = Math.hypot(dx, dy);
    if (length < least || length < 2 * thick) return; // within the dot of its joint it would not be seen
    const [x, y] = [joint[0] + dx, joint[1] + dy];
    const head = Math.min(thick * 4, length);
    const [ux, uy] = [dx / length, dy / length];
    context.beginPath();
    context.moveTo(...joint);
    context.lineTo(x - ux * head * 0.8, y - uy * head * 0.8);
    context.stroke();
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x - ux * head - uy * head * 0.5, y - uy * head + ux * head * 0.5);
    context.lineTo(x - ux * head + uy * head * 0.5, y - uy * head - ux * head * 0.5);
    context.fill();
  });
}

/** A frame in words, for who does not see it. */
export function described(skeleton, guidance, frame) {
  const joints = skeleton.positions[frame];
  const missing = skeleton.joints.filter((_, v) => joints[v] === null);
  const seen = missing.length === 0 ? "all joints seen" : missing.length === joints.length ? "no joint seen" : `not seen: ${missing.join(", ")}`;
  const at = `${(frame / skeleton.rate_hz).toFixed(2)} seconds, frame ${frame + 1} of ${skeleton.positions.length}, ${seen}`;
  const largest = largestArrow(guidance?.vectors[frame]);
  if (largest === null) return at;
  return `${at}; the longest arrow is at the ${skeleton.joints[largest.joint]}, pointing ${direction(largest.vector)}`;
}

function largestArrow(vectors) {
  let found = null;
  vectors?.forEach((vector, joint) => {
    const length = vector === null ? 0 : Math.hypot(...vector);
    if (length > (found?.length ?? 0)) found = { joint, vector, length };
  });
  return found;
}

const DIRECTIONS = ["right", "down and right", "down", "down and left", "left", "up and left", "up", "up and right"];
const direction = ([x, y]) => DIRECTIONS[(Math.round((Math.atan2(y, x) * 4) / Math.PI) + 8) % 8];
