"""What distinguishes recorded dances, chosen without a look at the clips that it is tested on.

Candidates are fixed beforehand. Each is a *machine* on one descriptor of poses or on several, whose decision values are
then added with equal weights: the regularised linear discriminant (nothing to choose) on movement, statistics and
rhythm, and linear support vector machines at three costs on statistics, spectrum and rhythm; 28 with all sums. The
discriminant does not read the spectrum, which has several times as many values as there are clips to estimate a
covariance from. The discriminant of movement alone is the one that bundles have (``networks.styles.movement``).

The choice reads the training clips alone. It divides them by recording into ``INNER_FOLDS`` folds, ``PARTITIONS``
times, because one partition of so few recordings chooses by chance; a candidate's figure is the mean over partitions of
the balanced accuracy of clips held out, so that every style counts the same however few clips it has. The largest is
chosen; of equal ones the one that reads the fewest numbers of a clip; of these the first in ``CANDIDATES``. It is then
fitted to all training clips.

Legend: N clips, D descriptors, K styles.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from networks.styles.clips import StyleClip, folds_by_group, styles_of
from networks.styles.descriptors import rhythm, spectrum, statistics
from networks.styles.discriminant import linear_discriminant
from networks.styles.movement import described
from networks.styles.preparation import facing_forward
from schemas.joints import JointLayout

INNER_FOLDS: Final = 4
PARTITIONS: Final = 5
COSTS: Final = (1e-3, 1e-2, 1e-1)
DISCRIMINANT: Final = "discriminant"
DIGITS: Final = 9
"""To which figures are equal."""

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
Decide = Callable[[Array], Array]
"""Decision values (N, K) of descriptors (N, D)."""


class Candidate(NamedTuple):
    """A machine on each of ``descriptors``, whose decision values are added."""

    machine: str
    descriptors: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.machine} on {' + '.join(self.descriptors)}"


def _described(function: Callable[[Array], Array]) -> Callable[[Sequence[StyleClip], JointLayout], Array]:
    return lambda clips, layout: np.stack([function(facing_forward(clip.frames, layout)) for clip in clips])


DESCRIPTORS: Final[Mapping[str, Callable[[Sequence[StyleClip], JointLayout], Array]]] = {
    "movement": described,
    "statistics": _described(statistics),
    "rhythm": _described(rhythm),
    "spectrum": _described(spectrum),
}
"""Each gives (N, D) of N clips."""


def _discriminant(values: Array, truth: Classes) -> Decide:
    return linear_discriminant(values, truth).logits


def _linear_machine(cost: float) -> Callable[[Array, Classes], Decide]:
    def fit(values: Array, truth: Classes) -> Decide:
        scaler = StandardScaler().fit(values)
        learned: Array = scaler.transform(values)
        # with the products given, which matrices are faster at than the library of machines
        machine = SVC(kernel="precomputed", C=cost, class_weight="balanced").fit(learned @ learned.T, truth)
        return lambda others: _by_style(machine.decision_function(scaler.transform(others) @ learned.T))

    return fit


def _by_style(decided: Array) -> Array:
    """Of two styles a machine gives one value (N,), positive for the second."""
    return decided if decided.ndim > 1 else np.stack([-decided, decided], axis=1)


MACHINES: Final[Mapping[str, Callable[[Array, Classes], Decide]]] = {
    DISCRIMINANT: _discriminant,
    **{f"linear machine, cost {cost:g}": _linear_machine(cost) for cost in COSTS},
}


def _sums(machine: str, *descriptors: str) -> list[Candidate]:
    sizes = range(1, len(descriptors) + 1)
    return [Candidate(machine, chosen) for size in sizes for chosen in combinations(descriptors, size)]


DISCRIMINANTS: Final = tuple(_sums(DISCRIMINANT, "movement", "statistics", "rhythm"))
LINEAR_MACHINES: Final = tuple(
    candidate
    for machine in MACHINES
    if machine != DISCRIMINANT
    for candidate in _sums(machine, "statistics", "rhythm", "spectrum")
)
CANDIDATES: Final = DISCRIMINANTS + LINEAR_MACHINES


class ChosenMachine:
    """The candidate that inner folds choose. ``reached``: the figure of each, in balanced accuracy."""

    def __init__(
        self,
        layout: JointLayout,
        *,
        candidates: Sequence[Candidate] = CANDIDATES,
        inner_folds: int = INNER_FOLDS,
        partitions: int = PARTITIONS,
    ) -> None:
        """``layout`` is that of the clips' (T, V, C) frames."""
        self.layout = layout
        self.candidates = tuple(candidates)
        self.inner_folds, self.partitions = inner_folds, partitions
        self.styles: list[str] = []
        self.reached: dict[Candidate, float] = {}
        self._learned: tuple[dict[str, Array], Classes] = {}, np.zeros(0, np.int64)

    def fit(self, clips: Sequence[StyleClip]) -> None:
        """Try the candidates on inner folds of ``clips``. Raises ``UnusableSamples`` for clips that cannot be used or
        divided."""
        self.styles = styles_of(clips)
        truth = np.array([self.styles.index(clip.style) for clip in clips])
        names = list(dict.fromkeys(name for each in self.candidates for name in each.descriptors))
        values = self._values(clips, names)
        partitions = [folds_by_group(clips, self.inner_folds, seed=seed) for seed in range(self.partitions)]
        figures = [self._figures(values, truth, folds) for folds in partitions]
        self.reached = {each: float(np.mean([one[each] for one in figures])) for each in self.candidates}
        self._learned = values, truth

    def choice(self, among: Sequence[Candidate] | None = None) -> Candidate:
        """What is chosen, of all candidates or ``among`` some of them."""
        if not self.reached:
            raise NotFittedError("ChosenMachine has not been fitted; call fit first")
        values, _ = self._learned
        return max(
            among or self.candidates,
            key=lambda each: (
                round(self.reached[each], DIGITS),
                -sum(values[name].shape[1] for name in each.descriptors),
            ),
        )

    def predict(self, clips: Sequence[StyleClip], *, among: Sequence[Candidate] | None = None) -> list[str]:
        """The style of each clip, by ``choice``; their own styles are not read."""
        chosen = self.choice(among)
        learned, truth = self._learned
        values = self._values(clips, chosen.descriptors)
        fit = MACHINES[chosen.machine]
        total = np.sum([fit(learned[name], truth)(values[name]) for name in chosen.descriptors], axis=0)
        return [self.styles[style] for style in total.argmax(1).tolist()]

    def _figures(
        self, values: Mapping[str, Array], truth: Classes, folds: Sequence[tuple[list[int], list[int]]]
    ) -> dict[Candidate, float]:
        """Balanced accuracy of each candidate on clips held out, all folds together."""
        parts = dict.fromkeys((each.machine, name) for each in self.candidates for name in each.descriptors)
        decided = {part: np.zeros((len(truth), len(self.styles))) for part in parts}
        for train, held in folds:
            for (machine, name), found in decided.items():
                found[held] = MACHINES[machine](values[name][train], truth[train])(values[name][held])
        return {
            each: float(
                balanced_accuracy_score(
                    truth, np.sum([decided[each.machine, name] for name in each.descriptors], axis=0).argmax(1)
                )
            )
            for each in self.candidates
        }

    def _values(self, clips: Sequence[StyleClip], names: Sequence[str]) -> dict[str, Array]:
        return {name: DESCRIPTORS[name](clips, self.layout) for name in names}
