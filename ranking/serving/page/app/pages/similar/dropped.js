// A file of the visitor as the example: a video, or a feature file. It is scored by the server, which keeps nothing.
import { html, useEffect, useId, useRef, useState } from "../../html.js";
import { get, upload, withQuery } from "../../api.js";
import { useAnswer, useRequest } from "../../answers.js";
import { announce } from "../../components/announce.js";
import { Bars } from "../../components/bars.js";
import { Moments } from "../../components/moments.js";
import { Problem } from "../../components/problem.js";
import { SkeletonPlayer } from "../../components/skeleton.js";
import { colour, DIMENSIONS, title } from "../../dimensions.js";
import { bytes, count, duration, fixed, percent, percentile } from "../../format.js";

const FEATURES = /\.safetensors$/i;
const VIDEOS = /\.(mp4|m4v|mov|mkv|webm|avi|3gp|mpe?g|ts|flv|wmv|ogv)$/i;

/** `onScored({name, answer})` when a file was scored; with `null` when it was removed. `dropped`: what was scored last. */
export function Dropped({ dropped, onScored }) {
  const fieldId = useId();
  const field = useRef(null);
  const [name, setName] = useState(null);
  const [isOver, setOver] = useState(false);
  const [sent, setSent] = useState(null); // {bytes, of}
  const scoring = useRequest();
  const offer = useAnswer((signal) => get("v1/score/offer", {}, { signal }), []);
  const last = useRef(null);
  const take = (file) => {
    last.current = file;
    setName(file.name);
    setSent({ bytes: 0, of: file.size, isVideo: isVideo(file) });
    const onSent = (bytes, signal) => !signal.aborted && setSent((before) => ({ ...before, bytes }));
    scoring.ask((signal) => scored(file, offer.value, signal, (bytes) => onSent(bytes, signal)), (answer) => {
      announce(`${file.name} was scored`);
      onScored({ name: file.name, answer });
    });
  };
  const refuse = (sentence) => scoring.ask(() => Promise.reject(new FileRefused(sentence)));
  const takeDropped = (files) => (files.length === 1 ? take(files[0]) : refuse(`${count(files.length)} files were dropped; drop one at a time.`));
  useDrop(setOver, takeDropped, offer.value?.scores === true);
  if (offer.value !== null && !offer.value.scores) {
    return html`<section class="card" aria-labelledby="file-title"><h2 id="file-title">A file of your own</h2><p class="empty">A file cannot be the example: ${offer.value.reason}.</p></section>`;
  }
  return html`<section class="card drop ${isOver ? "over" : ""}" aria-labelledby="file-title">
    <h2 id="file-title">A file of your own</h2>
    <p><label for=${fieldId}>Drop a ${offer.value?.videos ? "video or a feature file" : "feature file"} on this page, or choose one:</label></p>
    <input id=${fieldId} ref=${field} type="file" accept=${`.safetensors${offer.value?.videos ? ",video/*" : ""}`}
      onChange=${(event) => {
        if (event.target.files.length) take(event.target.files[0]);
        event.target.value = ""; // so that the same file can be chosen again
      }} />
    ${offer.value && html`<p class="hint">Up to ${bytes(offer.value.max_file_bytes)}. It is scored by the server, which keeps nothing of it.${!offer.value.videos && ` Videos are not taken: ${offer.value.videos_reason}.`}</p>`}
    ${offer.error && html`<${Problem} error=${offer.error} retry=${offer.reload} />`}
    ${scoring.isLoading &&
    html`<div class="sending"><p class="loading" role="status"><span class="spinner" aria-hidden="true"></span><span>${stage(sent)} <bdi>${name}</bdi>…</span></p>
      <${Sending} sent=${sent} /> <button type="button" onClick=${scoring.stop}>Stop</button></div>`}
    ${scoring.error && html`<${Problem} error=${scoring.error} retry=${isPassing(scoring.error) ? () => take(last.current) : null} what="The file was not scored" />`}
    ${dropped && html`<${Result} dropped=${dropped} remove=${() => onScored(null)} />`}
  </section>`;
}

/** Files that are dropped anywhere on the page. */
function useDrop(setOver, take, isTaken) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (!isTaken) return undefined;
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault(); // otherwise the browser would open the file instead
      setOver(true);
    };
    const leave = (event) => event.relatedTarget === null && setOver(false);
    const drop = (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      if (event.dataTransfer.files.length) latest.current(event.dataTransfer.files);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [isTaken]);
}

class FileRefused extends Error {
  constructor(message, code = "file_refused") {
    super(message);
    this.code = code;
    this.remedy = "Choose another file.";
    this.retryAfterS = null;
  }
}

const isFeatures = (file) => FEATURES.test(file.name);
const isVideo = (file) => !isFeatures(file) && (file.type.startsWith("video/") || VIDEOS.test(file.name));

/** Whether the same file may be scored later. */
const isPassing = (error) => error.status === 0 || error.status === 503;

const isSent = ({ bytes, of }) => bytes >= of;
const stage = (sent) => (!isSent(sent) ? "Sending" : sent.isVideo ? "Watching and scoring" : "Scoring");

/** How much of a file is sent; then, how long the server has had it. */
function Sending({ sent }) {
  const [sinceS, setSince] = useState(0);
  const isThere = isSent(sent);
  useEffect(() => {
    setSince(0);
    if (!isThere) return undefined;
    const timer = setInterval(() => setSince((before) => before + 1), 1000);
    return () => clearInterval(timer);
  }, [isThere]);
  if (!isThere) return html`<progress aria-label="Sent" max=${sent.of} value=${sent.bytes}></progress> <span class="hint">${percent(sent.bytes / sent.of)}</span>`;
  if (!sent.isVideo) return null;
  return html`<p class="hint">${duration(sinceS)} so far. Following the dancer takes about as long as the video lasts, or longer on a busy server; other videos that came first have their turn before.</p>`;
}

async function scored(file, offer, signal, onSent) {
  if (file.size === 0) throw new FileRefused(`“${file.name}” is empty.`);
  if (!isFeatures(file) && !isVideo(file)) throw new FileRefused(`“${file.name}” is neither a video nor a feature file (.safetensors).`);
  if (isVideo(file) && offer && !offer.videos) throw new FileRefused(`${offer.videos_reason}.`);
  if (offer && file.size > offer.max_file_bytes) throw new FileRefused(`“${file.name}” has ${count(file.size)} bytes; at most ${bytes(offer.max_file_bytes)} are taken.`);
  const type = isFeatures(file) ? "application/octet-stream" : file.type.startsWith("video/") ? file.type : "video/mp4";
  try {
    return await (await upload(withQuery("v1/score/file", { movement: true }), file, { type, signal, onSent })).json();
  } catch (error) {
    if (error.status !== 422) throw error;
    throw new FileRefused(`“${file.name}”: ${error.message}`, error.code); // its value is not to be corrected, but the file
  }
}

function Result({ dropped, remove }) {
  const { name, answer } = dropped;
  const bars = DIMENSIONS.filter((each) => answer.percentiles[each] !== undefined).map((each) => ({
    label: title(each),
    note: `score ${fixed(answer.scores[each])}`,
    share: answer.percentiles[each].percentile / 100,
    colour: colour(each),
  }));
  return html`<div class="result">
    <p><strong><bdi>${name}</bdi></strong> is the example <span class="hint">(${duration(answer.duration_s)}, generation ${answer.generation})</span> <button type="button" onClick=${remove}>Remove it</button></p>
    ${answer.note && html`<p class="hint">${answer.note}</p>`}
    ${answer.outside_training_distribution && html`<p class="warning" role="note"><strong>Outside the training distribution.</strong> It is unlike the clips that the model learned from; its scores are not to be trusted.</p>`}
    ${bars.length > 0 && html`<${Bars} label="Percentiles among all clips" bars=${bars} text=${(share) => percentile(share * 100)} />
      <p class="hint">Percentiles among all clips of this generation.</p>`}
    ${bars.length === 0 && html`<p>Fused score ${fixed(answer.scores.fused)}. No clip of this generation is ranked, so it has no percentile.</p>`}
    ${answer.skeleton && html`<${Danced} name=${name} skeleton=${answer.skeleton} guidance=${answer.guidance} />`}
  </div>`;
}

/** The movement of the file, with what would raise its score. */
function Danced({ name, skeleton, guidance }) {
  const [seek, setSeek] = useState(null);
  return html`<${SkeletonPlayer} label=${name} skeleton=${skeleton} guidance=${guidance} seek=${seek} />
    ${guidance && html`<h3>What would raise the score</h3><${Moments} guidance=${guidance} show=${(moment) => setSeek({ frame: moment.frame })} />`}`;
}
