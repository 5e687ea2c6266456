"""The folder of a run: how it was started, where it stands, what came of it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from torch import Tensor

from networks.atomic import DRAFT_SUFFIX, replacing
from networks.checkpoint import load_checkpoint, save_checkpoint
from networks.training.errors import RunMismatch
from networks.training.history import EpochRow, draw_curves, write_history
from networks.training.state import Best, TrainingState, load_state, save_state
from networks.virality_model import ViralityModel
from schemas.local_files import not_json, read_file
from schemas.virality_target import EQ1, FittedTarget

CURVES_INTERVAL_S: Final = 60.0
"""Curves are drawn this often while training goes on; drawing takes longer than an epoch of a tiny network."""

_MODEL, _METRICS, _BEST, _DRAFTS = "model.safetensors", "metrics.json", "best-*.safetensors", f".*{DRAFT_SUFFIX}"


class RunFolder:
    """Paths and files of one run; docs/learning.md lists them."""

    def __init__(self, folder: Path, target: FittedTarget = EQ1) -> None:
        """``target`` is what is learned; it is kept in every checkpoint of the run."""
        self.folder = folder
        self._target = target
        self.model_file = folder / _MODEL
        self.bad_batch = folder / "bad-batch.safetensors"
        self._config = folder / "config.json"
        self._state = folder / "last.ckpt"
        self._drawn = time.monotonic()

    def begin(
        self, started_with: Mapping[str, Any], *, fresh: bool = False, read_only: bool = False
    ) -> TrainingState | None:
        """The state to go on from, or nothing if the run starts here; ``fresh`` forgets what is there.

        ``read_only`` is for the processes of further devices: the first one has then seen to the folder.
        ``started_with`` is everything that the result depends on; it is written down at the start. Raises
        ``RunMismatch`` naming what differs from the start, ``CheckpointError`` if the state cannot be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = msgspec.json.decode(msgspec.json.encode(started_with), type=dict[str, Any])
        if self._state.exists() and (read_only or not fresh):
            self._refuse_another(wanted)
            state = load_state(self._state)
            if not read_only:
                self._delete(_DRAFTS)
            return state
        if not read_only:
            # Delete the state first: without it, what an interruption leaves cannot be resumed.
            self._delete("last.ckpt", "config.json", _BEST, "bad-batch*.safetensors", _MODEL, _METRICS, _DRAFTS)
            self._delete("history.csv", "curves.png", "predictions.csv")
            with replacing(self._config) as draft:
                draft.write_bytes(msgspec.json.format(msgspec.json.encode(wanted), indent=2))
        return None

    def save_best(self, model: ViralityModel, best: Best) -> None:
        """Keep the best epoch so far beside the previous one, which the saved state may still refer to."""
        with replacing(self._best(best)) as draft:
            save_checkpoint(model, draft, {"validation": f"{best.validation:.4f}"}, target=self._target)

    def load_best(self, best: Best) -> dict[str, Tensor]:
        """Parameters and buffers of the best epoch."""
        model, _ = load_checkpoint(self._best(best))
        return dict(model.state_dict())

    def save_epoch(self, state: TrainingState) -> None:
        """Make ``state`` the one to go on from, and show the history."""
        save_state(state, self._state)
        for path in self.folder.glob(_BEST):
            if path != self._best(state.best):
                path.unlink()
        write_history(state.history, self.folder / "history.csv")
        if time.monotonic() - self._drawn > CURVES_INTERVAL_S:
            self.draw(state.history)

    def draw(self, history: Sequence[EpochRow]) -> None:
        """Write the curves."""
        draw_curves(history, self.folder / "curves.png")
        self._drawn = time.monotonic()

    def finish(
        self,
        model: ViralityModel,
        metrics: Mapping[str, float],
        history: Sequence[EpochRow],
        best: Best,
        *,
        notes: Mapping[str, str],
        clip_ids: Sequence[str],
    ) -> None:
        """Write what came of the run: the checkpoint to export, its metrics, the curves."""
        numbers = {name: f"{value:.4f}" for name, value in metrics.items()}
        with replacing(self.model_file) as draft:
            save_checkpoint(model, draft, {**notes, **numbers}, clip_ids=clip_ids, target=self._target)
        write_history(history, self.folder / "history.csv")
        self.draw(history)
        chosen = best.epoch + 1 if best.epoch >= 0 else len(history)
        summary = {
            "epochs": len(history),
            "epoch_of_the_model": chosen,
            "target": self._target.target,
            "metrics": dict(metrics),
        }
        with replacing(self.folder / _METRICS) as draft:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))

    def _delete(self, *patterns: str) -> None:
        for path in (path for pattern in patterns for path in self.folder.glob(pattern)):
            path.unlink(missing_ok=True)

    def _best(self, best: Best) -> Path:
        return self.folder / f"best-{best.epoch + 1:04d}.safetensors"

    def _refuse_another(self, wanted: Mapping[str, Any]) -> None:
        try:
            content = read_file(self._config)
        except OSError as error:
            raise RunMismatch(f"{self._config}: cannot be read ({error.strerror}); start the run afresh") from error
        try:
            there = msgspec.json.decode(content, type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            raise RunMismatch(f"{self._config}: {not_json(content) or error}; start the run afresh") from error
        there.setdefault("virality", msgspec.to_builtins(EQ1))  # of runs before there were other targets
        differences = _differences(there, wanted)
        if differences:
            raise RunMismatch(
                f"{self.folder}: this run was started otherwise: {'; '.join(differences)}. "
                "Use the same settings and data to continue it, another folder, or start afresh"
            )


def _differences(there: Any, wanted: Any, key: str = "") -> list[str]:
    """The differences, by dotted key."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        return [
            difference
            for name in dict.fromkeys((*there, *wanted))
            for difference in _differences(there.get(name), wanted.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if there == wanted else [f"{key} was {there!r}, is {wanted!r}"]
