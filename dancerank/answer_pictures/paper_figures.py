"""The paper's figures of a trained network and of what it makes of a challenge: Fig. 7, 8 and 9. Needs ``[train]``.

Legend: T time steps, V joints.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dancerank.console.progress import OnProgress
from dancerank.fitting.learning import evaluate
from dancerank.pictures.adjacency import Layer, adjacency
from dancerank.pictures.attention import attention_bins
from dancerank.pictures.bodies import Moving
from dancerank.pictures.sheets import Double
from dancerank.pictures.strips import Strip, strips
from networks.baselines.stgcn import STGCN
from networks.checkpoint import load_checkpoint
from networks.figures import adjacency_of_layers, attention_from_centre, first_and_last, vertex_names
from networks.predictions import Predictions
from networks.psgcn import PSGCN
from networks.rtcn import RTCN
from networks.streams import StreamNetwork
from networks.virality_model import ViralityModel
from schemas.features import ClipFeatures
from schemas.joints import JointLayout, layout_named
from schemas.modalities import Modality
from schemas.picture_formats import StillFormat
from vdv.folder import DataSet
from vdv.splits import Part, rows_of_part

BEFORE_TRAINING: Final = "ST-GCN, before training"


class Drawn(NamedTuple):
    """A picture: the ``name`` of its file, without an ending, and its ``content``."""

    name: str
    content: bytes


def draw_figures(
    checkpoint: Path,
    data: DataSet,
    *,
    challenge: str | None,
    part: Part | None,
    beside: Path | None,
    kind: StillFormat,
    on_progress: OnProgress,
) -> Iterator[Drawn]:
    """All that the model has: graphs, attention of each appearance stream, and the ends of the ranking by each stream.

    ``challenge``: whose clips of ``part`` are ranked, by default the one with most of them. ``beside``: a checkpoint
    whose graphs are shown below the model's; by default those that ST-GCN starts with. Raises what
    ``learning.evaluate`` does.
    """
    chosen = challenge or _largest(data, part)
    evaluated = evaluate(checkpoint, data, track=chosen, part=part, on_progress=on_progress)
    model, _ = load_checkpoint(checkpoint)
    other = None if beside is None else load_checkpoint(beside)[0]
    yield from draw_graphs(model, other, kind)
    yield from _attention(model, evaluated.predictions, data, kind)
    yield from _ends(evaluated.predictions, data, chosen, kind)


def draw_graphs(model: ViralityModel, other: ViralityModel | None, kind: StillFormat) -> Iterator[Drawn]:
    """Fig. 7: graphs of layers 2, 5 and 8; nothing for a model without graph convolutions."""
    layout = layout_named(model.config.joint_layout)
    network = _graph_network(model)
    if network is None:
        return
    rows = [(_called(network), _layers(network, layout))]
    below = None if other is None else _graph_network(other)
    if other is not None and below is not None:
        rows.append((_called(below), _layers(below, layout_named(other.config.joint_layout))))
    elif isinstance(network, PSGCN):
        untrained = STGCN(layout, model.config.joint_channels, width=model.config.graph_width)
        rows.append((BEFORE_TRAINING, _layers(untrained, layout)))
    yield Drawn("adjacency", adjacency(rows, kind=kind))


def _graph_network(model: ViralityModel) -> StreamNetwork | None:
    if Modality.SKELETAL not in model.config.modalities:
        return None
    network = model.stream(Modality.SKELETAL)
    return network if isinstance(network, PSGCN | STGCN) else None


def _called(network: StreamNetwork) -> str:
    return "ST-GCN" if isinstance(network, STGCN) else type(network).__name__


def _layers(network: StreamNetwork, layout: JointLayout) -> list[Layer]:
    matrices = adjacency_of_layers(network)
    order = range(layout.joint_count) if isinstance(network, STGCN) else layout.vertex_order
    names = vertex_names(layout.joints, order, matrices)
    return [Layer(number, matrix, names[number]) for number, matrix in matrices.items()]


def _attention(model: ViralityModel, predictions: Predictions, data: DataSet, kind: StillFormat) -> Iterator[Drawn]:
    """Fig. 8, for each stream with relational pooling: of the clip that the fused score puts first."""
    annotations = {annotation.clip_id: annotation for annotation in data.annotations}
    for column, modality in enumerate(predictions.modalities):
        network = model.stream(modality)
        if not isinstance(network, RTCN) or not network.poolings:
            continue
        having = np.where(np.isnan(predictions.scores[:, column]), np.nan, predictions.fused)
        first, _ = first_and_last(having, 1)
        for row in first:
            clip_id = predictions.clip_ids[row]
            features = data.features(annotations[clip_id])
            weights = attention_from_centre(network, features.frames[modality])
            title = f"{clip_id}: what the centre of the clip attends to, {modality}"
            pose = in_the_picture(features)
            moving = None if pose is None else Moving(*pose)
            length_s = len(features.frames[modality]) / modality.rate_hz
            content = attention_bins(weights, length_s, title=title, clip=moving, kind=kind)
            yield Drawn(f"attention-{modality}", content)


def _ends(predictions: Predictions, data: DataSet, challenge: str, kind: StillFormat) -> Iterator[Drawn]:
    """Fig. 9: the first and the last clips of a challenge by each stream, and by the fused score."""
    annotations = {annotation.clip_id: annotation for annotation in data.annotations}
    columns = {str(modality): predictions.scores[:, at] for at, modality in enumerate(predictions.modalities)}
    for name, scores in (columns | {"fused": predictions.fused}).items():
        ranked = np.argsort(-scores, kind="stable").tolist()

        def strip(row: int, scores: Double = scores, ranked: Sequence[int] = ranked) -> Strip:
            annotation = annotations[predictions.clip_ids[row]]
            layout, positions = in_the_picture(data.features(annotation)) or (layout_named("mpii-16"), None)
            place, score = ranked.index(row) + 1, float(scores[row])
            return Strip(annotation.clip_id, place, score, annotation.duration_s, layout, positions)

        first, last = first_and_last(scores)
        clips = int((~np.isnan(scores)).sum())
        content = strips(challenge, name, [*map(strip, first)], [*map(strip, last)], clips=clips, kind=kind)
        yield Drawn(f"ends-{name}", content)


def in_the_picture(features: ClipFeatures) -> tuple[JointLayout, Double] | None:
    """The layout and the joints (T, V, 2), x right and y down; ``None`` for a clip without a skeleton."""
    if Modality.SKELETAL not in features.frames:
        return None
    layout = layout_named(features.joint_layout or "")
    axes = [axis for axis, _ in layout.image_axes]
    signs = [sign for _, sign in layout.image_axes]
    return layout, features.frames[Modality.SKELETAL][..., axes].astype(np.float64) * signs


def _largest(data: DataSet, part: Part | None) -> str:
    """The challenge with most clips in ``part``."""
    rows = rows_of_part(data, "all", part)
    named = [data.annotations[row].challenge_id for row in rows]
    return max(dict.fromkeys(named), key=named.count)
