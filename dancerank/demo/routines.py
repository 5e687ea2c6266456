"""Routines in the demonstration: their attention over time, beside the seconds that were planted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.table import Table

from dancerank.console.terminal import Console
from dancerank.running.embedded import EmbeddedSystem
from dancerank.synthetic.routines import PlantedRoutine, long_routines
from ranking.serving.service import RankingService
from schemas.clock import SystemClock
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.moments import DYNAMIC, SEGMENT_S, Moment
from vdv.annotations import Annotation
from vdv.folder import Clip, DataSet, write_data_set
from vdv.uploads import read_uploads

ROUTINES: Final = 3
SHORTEST_S: Final = 70
LONGEST_S: Final = 120

_MOMENTS: Final = 5
_SEED: Final = 1_000_000
"""Added to the demonstration's: routines that no bundle has learned from."""


def show_routines(console: Console, system: EmbeddedSystem, folder: Path, *, seed: int, clips: int) -> None:
    """Stream some routines into the ``system``, which holds so many ``clips``, and print what counted in their
    scores.
    """
    if Modality.ROUTINE not in system.runtime.manifest.modalities:
        console.print("This bundle has no stream for routines: it refuses clips longer than 60 s.")
        return
    routines = {
        f"routine-{number}": routine
        for number, routine in enumerate(
            long_routines(ROUTINES, seed=_SEED + seed, shortest_s=SHORTEST_S, longest_s=LONGEST_S), start=1
        )
    }
    system.send(read_uploads(written_routines(folder, routines), now_ms=SystemClock().now_ms()))
    system.await_clips(clips + len(routines))
    _show_moments(console, system.service, routines)


def written_routines(folder: Path, routines: Mapping[str, PlantedRoutine]) -> DataSet:
    """A data set of routines, by their clip ids, in one challenge."""
    return write_data_set(
        folder,
        (
            Clip(
                Annotation(
                    clip_id=clip_id, dancer_id=f"of-{clip_id}", challenge_id="routines", duration_s=len(routine.static)
                ),
                ClipFeatures({Modality.ROUTINE: routine.frames}),
            )
            for clip_id, routine in routines.items()
        ),
    )


def _show_moments(console: Console, service: RankingService, routines: Mapping[str, PlantedRoutine]) -> None:
    title = f"The {_MOMENTS} moments of each routine that its stream attends to most"
    table = Table("routine", "lasts", "score", "moments, + planted", title=title)
    right = shown = 0
    for clip_id, routine in routines.items():
        found = service.moments(clip_id, count=_MOMENTS)
        planted = [shows_quality(moment, routine) for moment in found.moments]
        right, shown = right + sum(planted), shown + len(planted)
        cells = (
            f"{moment.start_s:.1f}–{moment.end_s:.1f} s{' +' if is_planted else ''}"
            for moment, is_planted in zip(found.moments, planted, strict=True)
        )
        table.add_row(clip_id, f"{found.seconds:.0f} s", f"{found.score:.2f}", ", ".join(cells))
    console.print(table)
    console.print(
        f"The seconds that made the score: {right} of {shown} were planted as those that show the quality; by chance "
        "a quarter would be."
    )


def shows_quality(moment: Moment, routine: PlantedRoutine) -> bool:
    """Whether the segment or second was planted as one that shows how good the routine is."""
    if moment.part == DYNAMIC:
        return round(moment.start_s / SEGMENT_S) in routine.shown_segments
    return int(moment.start_s) in routine.shown_seconds
