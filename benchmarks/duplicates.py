"""How well thresholds tell clips that were uploaded again from other clips: precision and recall of each.

    DANCERANK_DATA=folder python -m benchmarks.duplicates [--clips 240] [--recordings FOLDER]

Synthetic clips, and the recorded dances if their archive is there, are embedded by the bundle that ships, and so is a
copy of each, as another upload would show it: **encoded** again (noise of 2 % of each channel's deviation, float16),
**cropped** in time (5 % at each end), both (**cropped more**: 10 % at each end, and encoded). Each copy is compared
with all originals, by a fixed threshold of the similarity and by those of ``ranking.vectors.duplicates``. Recall is the
share of copies whose original reaches the threshold, precision the share of the copies' own originals among all clips
that do. Clips whose features are refused are left out. Writes ``out/duplicates.json``.
"""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.refusals import ends_with_a_sentence
from dancerank.settings import DATA_VARIABLE, shipped_bundle
from dancerank.synthetic import synthesize
from ranking.vectors.duplicates import NEIGHBOUR, RATIO, SAME
from ranking.vectors.unit_vectors import unit
from schemas.bundle import BundleManifest, read_bundle
from schemas.errors import FeaturesImplausible
from schemas.events import ClipScored, ClipUploaded, InlineFeatures, embedding_array
from schemas.features import DEFAULT_MAX_BYTES, ClipFeatures, encode_features
from schemas.modalities import Modality
from streamer.loading import FeatureLoader
from streamer.roots import FeatureRoots
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer
from streamer.stores import FeatureStore
from vdv.importers.dance import ARCHIVE_NAME, cut, read_sequences

SEED: Final = 77
FIXED: Final = (0.95, 0.99, 0.999, 0.9999, SAME)
RATIOS: Final = (0.1, RATIO, 0.3, 0.5)
_BATCH: Final = 16

Frames = np.ndarray
Change = Callable[[Frames, np.random.Generator], Frames]
Vectors = Mapping[Modality, np.ndarray]


class Filmed(NamedTuple):
    """A clip before it is uploaded."""

    clip_id: str
    features: ClipFeatures


def encoded(frames: Frames, rng: np.random.Generator) -> Frames:
    deviation = frames.astype(np.float32).std(axis=0, keepdims=True)
    noisy = frames.astype(np.float32) + 0.02 * deviation * rng.standard_normal(frames.shape).astype(np.float32)
    return noisy.astype(np.float16)


def cropped(frames: Frames, _: np.random.Generator, share: float = 0.05) -> Frames:
    end = round(share * len(frames))
    return frames[end : len(frames) - end]


def cropped_more(frames: Frames, rng: np.random.Generator) -> Frames:
    return encoded(cropped(frames, rng, 0.1), rng)


COPIES: Final[Mapping[str, Change]] = {"encoded": encoded, "cropped": cropped, "cropped more": cropped_more}


def _loaded(loader: FeatureLoader, upload: ClipUploaded) -> ClipFeatures | None:
    """``None`` for features that are refused as implausible, which no index holds."""
    try:
        return loader.load(upload)
    except FeaturesImplausible:
        return None


def embedded(clips: Sequence[Filmed], scorer: Scorer, loader: FeatureLoader) -> dict[str, Vectors]:
    """Unit vectors of each clip by modality, by clip."""
    found: dict[str, Vectors] = {}
    for start in range(0, len(clips), _BATCH):
        uploads = [
            ClipUploaded(
                clip_id=clip.clip_id,
                dancer_id="dancer",
                challenge_id="challenge",
                uploaded_at_ms=0,
                duration_s=len(next(iter(clip.features.frames.values()))) / next(iter(clip.features.frames)).rate_hz,
                features=InlineFeatures(encode_features(clip.features)),
            )
            for clip in clips[start : start + _BATCH]
        ]
        batch = [(upload, features) for upload in uploads if (features := _loaded(loader, upload)) is not None]
        for result in scorer.score(batch):
            if not isinstance(result, ClipScored):
                raise result
            units = {modality: unit(embedding_array(each)) for modality, each in result.modalities.items()}
            found[result.clip_id] = {m: vector for m, vector in units.items() if vector is not None}
    return found


def similarities(copies: Sequence[Vectors], originals: Sequence[Vectors]) -> np.ndarray:
    """Mean cosine over the modalities of the copy, (copies, originals); one that the original lacks adds 0."""
    total, asked = np.zeros((len(copies), len(originals))), np.zeros((len(copies), 1))
    for modality in Modality:
        width = next((len(each[modality]) for each in originals if modality in each), 1)
        sides = [np.stack([each.get(modality, np.zeros(width)) for each in side]) for side in (copies, originals)]
        total += sides[0].astype(float) @ sides[1].astype(float).T
        asked += np.array([[modality in each] for each in copies])
    mean: np.ndarray = total / asked
    return mean


def measure(name: str, clips: Sequence[Filmed], scorer: Scorer, loader: FeatureLoader) -> list[dict[str, object]]:
    """A row for each kind of copy and way to set the threshold."""
    rng = np.random.default_rng(SEED)
    originals = embedded(clips, scorer, loader)
    rows: list[dict[str, object]] = []
    for kind, change in COPIES.items():
        made = [
            clip._replace(
                features=ClipFeatures(
                    {m: change(frames, rng) for m, frames in clip.features.frames.items()}, clip.features.joint_layout
                )
            )
            for clip in clips
        ]
        copies = embedded(made, scorer, loader)
        both = [clip_id for clip_id in originals if clip_id in copies]
        found = similarities([copies[clip_id] for clip_id in both], [originals[clip_id] for clip_id in both])
        far = np.sort(found, axis=1)[:, -NEIGHBOUR : -NEIGHBOUR + 1]
        ways = {f"{value:g}": np.full((len(both), 1), value) for value in FIXED}
        ways |= {f"ratio {ratio:g}": np.minimum(SAME, 1 - ratio * (1 - far)) for ratio in RATIOS}
        for way, threshold in ways.items():
            reached = found >= threshold
            hits = int(np.diagonal(reached).sum())
            precision = hits / int(reached.sum()) if reached.any() else 1.0
            rows.append(
                {"clips": name, "copies": kind, "threshold": way, "precision": precision, "recall": hits / len(both)}
            )
    return rows


def synthetic(count: int) -> list[Filmed]:
    return [Filmed(clip.clip_id, clip.features) for clip in synthesize(count, seed=SEED)]


def recorded(folder: Path) -> Iterator[Filmed]:
    for clip in chain.from_iterable(map(cut, read_sequences(folder))):
        yield Filmed(clip.annotation.clip_id, clip.features)


def _loader(manifest: BundleManifest) -> FeatureLoader:
    store = FeatureStore(
        FeatureRoots([]), max_bytes=DEFAULT_MAX_BYTES, patience_s=0.0, options={}
    )  # nothing is read from one
    return FeatureLoader(store, manifest, max_bytes=DEFAULT_MAX_BYTES)


@ends_with_a_sentence
def main() -> None:
    logging.getLogger("streamer").setLevel(logging.ERROR)  # that recorded dances are unlike the training clips is known
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=240, help="synthetic clips")
    parser.add_argument("--recordings", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"with {ARCHIVE_NAME}")
    arguments = parser.parse_args()
    bundle = read_bundle(shipped_bundle())
    scorer, loader = Scorer(OnnxRuntime(bundle)), _loader(bundle.manifest)
    sets = {"synthetic": synthetic(arguments.clips)}
    if arguments.recordings is not None:
        sets["recorded dances"] = [*recorded(Path(arguments.recordings))]
    rows = [row for name, clips in sets.items() for row in measure(name, clips, scorer, loader)]
    sizes = ", ".join(f"{len(clips)} {name}" for name, clips in sets.items())
    table = Table("clips", "copies", "threshold", "precision", "recall", title=sizes)
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    figures = [
        Measured(f"{row['clips']}, {row['copies']}: {what}", float(str(row[what])), "share")
        for row in rows
        if row["threshold"] == f"ratio {RATIO:g}"
        for what in ("precision", "recall")
    ]
    print(write_figures("duplicates", figures, rows=rows))


if __name__ == "__main__":
    main()
