"""A training process that is killed at given points: python -m tests.networks.interrupted_run (folder:FOLDER
KILL...)...

``KILL`` is ``after:S`` (seconds), ``save:K`` (half-way through the K-th write of the state), ``replace:K`` (when the
K-th finished file is about to take its place), or ``never``. Each is done to a process of its own, one after another,
forked, for this one has no other threads, so that torch is loaded once. Prints what became of each, ``killed`` or
``exit CODE``.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from networks.training import TrainingSettings, fit
from tests.networks.planted import CONFIG, planted

SETTINGS = TrainingSettings(
    epochs=4, learning_rate=3e-3, schedule="one-cycle", modality_dropout=0.2, seed=4, patience=3
)


def train(folder: Path) -> None:
    """The run, on one thread; it goes on from what is in ``folder``."""
    torch.set_num_threads(1)
    ids = [f"clip-{number}" for number in range(35)]
    fit(CONFIG, planted(35, seed=0), [], SETTINGS, validation=planted(12, seed=1), clip_ids=ids, run=folder,
        progress=False, trainer_options={"accelerator": "cpu"})  # fmt: skip


def _killed_at_call(owner: Any, name: str, number: int, *, half_way: bool) -> None:
    original, calls = getattr(owner, name), []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            if half_way:
                content, path = args
                original(content, path)
                whole = path.read_bytes()
                path.write_bytes(whole[: len(whole) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **options)

    setattr(owner, name, counted)


def main(plan: list[str]) -> None:
    folder = Path()
    for step in plan:
        how, _, number = step.partition(":")
        if how == "folder":
            folder = Path(number)
            continue
        assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork of a process with threads copies their locks"
        child = os.fork()
        if child == 0:
            if how == "save":
                _killed_at_call(torch, "save", int(number), half_way=True)
            elif how == "replace":
                _killed_at_call(Path, "replace", int(number), half_way=False)
            train(folder)
            os._exit(0)
        if how == "after":
            time.sleep(float(number))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
