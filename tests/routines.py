"""A tiny network of routines, and data sets of planted routines, for tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dancerank.synthetic.routines import PlantedRoutine, long_routines
from exporters.onnx.routine_networks import write_routine_network
from networks.action_net import ActionNet, Widths
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.routine_network import RoutineNetwork, ScoreRange
from schemas.training_distribution import training_distribution
from vdv.annotations import Annotation
from vdv.folder import Clip, DataSet, write_data_set

TINY = Widths(dynamic=(6, 4), static=(6, 4), attention=3, head=4)
Change = Callable[[Annotation, ClipFeatures], tuple[Annotation, ClipFeatures]]


def tiny_network(seed: int = 0) -> ActionNet:
    torch.manual_seed(seed)
    return ActionNet(widths=TINY).eval()


def written_network(folder: Path, seed: int = 0) -> RoutineNetwork:
    """A network that has learned nothing, with the distribution of planted routines."""
    clips = [{Modality.ROUTINE: one.frames} for one in long_routines(50, seed=5, longest_s=61)]
    stated = training_distribution(clips, coordinates=0, modalities=(Modality.ROUTINE,))
    return write_routine_network(
        tiny_network(seed),
        folder,
        score_range=ScoreRange(0.0, 25.0),
        training_data="planted routines=50",
        architecture={"network": "action-net"},
        metrics={"spearman_routine": 0.5},
        distribution=stated[Modality.ROUTINE],
    )


def clip_of(routine: PlantedRoutine, number: int) -> Clip:
    annotation = Annotation(
        clip_id=f"routine-{number}",
        dancer_id=f"dancer-{number // 2}",
        challenge_id="routines",
        duration_s=float(len(routine.static)),
        score=round(routine.score, 2),
        split="test" if number % 5 == 4 else "train",
    )
    frames = {Modality.ROUTINE: routine.frames.astype(np.float16)}
    return Clip(annotation, ClipFeatures(frames, None, {}))


def data_set(folder: Path, change: Change = lambda *both: both, *, routines: int = 4) -> DataSet:
    """Planted routines; of the third (row 4) ``change`` makes something else."""
    made = long_routines(routines, seed=3, longest_s=64)
    clips = [clip_of(routine, number) for number, routine in enumerate(made)]
    return write_data_set(folder, [Clip(*change(*clip)) if row == 2 else clip for row, clip in enumerate(clips)])
