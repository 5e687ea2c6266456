"""Which clips are for training and which are held out: drawn once, stored in the table, read back as folds.

A part is drawn within every challenge, so that one stored partition serves each single-challenge track and, all
challenges together, the all-challenge track (Wang et al. 2021, Section 5.1). The draw depends on ids and seed
alone, not on the order of the rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

from vdv.annotations import PARTITIONS, Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import DataSet

ALL: Final = "all"
TEST_SHARE: Final = 0.2

Part = Literal["test", "train", "all"]

_Group = tuple[str, Counter[str]]


class Fold(NamedTuple):
    """One division of a data set: indices into ``DataSet.annotations`` for training, and those held out."""

    name: str
    train: list[int]
    test: list[int]


def draw_split(
    annotations: Sequence[Annotation], *, seed: int = 0, test_share: float = TEST_SHARE, by_dancer: bool = False
) -> list[Annotation]:
    """The annotations with ``split`` set: of every challenge with two clips or more, ``test_share`` (at least one clip,
    never all) is held out; a challenge of one clip is for training.

    With ``by_dancer`` all clips of a dancer stay in one part, and each challenge comes as near to its
    share as whole dancers allow. Raises ``DataSetError`` for a challenge that then has no clip on one side.
    """
    if not 0 < test_share < 1:
        raise DataSetError(f"the test share is {test_share}; give a number between 0 and 1", field="test_share")
    sizes = Counter(a.challenge_id for a in annotations)
    wanted = {c: min(max(1, round(test_share * size)), size - 1) for c, size in sizes.items()}
    held: Counter[str] = Counter()
    test: set[str] = set()

    def gain(counts: Counter[str]) -> float:
        """Decrease of the relative squared deviations from the wanted numbers if the group joins the test part."""
        return sum(
            ((held[c] - wanted[c]) ** 2 - (held[c] + n - wanted[c]) ** 2) / max(wanted[c], 1) ** 2
            for c, n in counts.items()
        )

    for group, counts in sorted(_groups(annotations, by_dancer), key=_drawn(seed)):
        if gain(counts) > 0:
            test.add(group)
            held += counts
    for challenge, size in sorted(sizes.items()):
        if size > 1 and not 0 < held[challenge] < size:
            raise DataSetError(
                f"challenge {challenge!r}: whole dancers do not divide its {size} clips into {1 - test_share:.0%} and "
                f"{test_share:.0%}; take another seed, a larger test share, grouped folds, or leave the challenge out",
                field="split",
            )
    chosen = [_group(a, by_dancer) in test for a in annotations]
    return [
        msgspec.structs.replace(a, split="test" if held_out else "train", fold=None)
        for a, held_out in zip(annotations, chosen, strict=True)
    ]


def draw_folds(
    annotations: Sequence[Annotation], folds: int, *, seed: int = 0, by_dancer: bool = True
) -> list[Annotation]:
    """The annotations with ``fold`` set to 0 … ``folds`` − 1, as equal in size as whole groups allow.

    Groups (dancers, or single clips) go, the largest first, each to the fold that holds the fewest clips of its
    challenges. Raises ``DataSetError`` if there are fewer groups than folds.
    """
    groups = _groups(annotations, by_dancer)
    if not 2 <= folds <= len(groups):
        kind = "dancers" if by_dancer else "clips"
        raise DataSetError(
            f"{folds} folds of {len(groups)} {kind}; give a number from 2 to the number of {kind}", field="fold"
        )
    sizes = Counter(a.challenge_id for a in annotations)
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    drawn = _drawn(seed)
    for group, counts in sorted(groups, key=lambda g: (-g[1].total(), drawn(g))):
        fold = min(
            range(folds), key=lambda f: (sum(n * held[f][c] / sizes[c] for c, n in counts.items()), held[f].total(), f)
        )
        held[fold] += counts
        fold_of[group] = fold
    return [msgspec.structs.replace(a, fold=fold_of[_group(a, by_dancer)], split=None) for a in annotations]


def track_folds(data: DataSet, track: str = ALL) -> list[Fold]:
    """The folds of a track, ``"all"`` or a challenge: one if the table has ``split``, one per ``fold`` otherwise.

    Raises ``DataSetError`` for an unknown challenge, a table without one of the columns or with both, a row without a
    value, and a fold without training clips or without held-out ones.
    """
    if track != ALL and track not in data.challenges:
        known = ", ".join(data.challenges)
        raise DataSetError(
            f"{data.table}: no challenge is called {track!r}; give {ALL} or one of {known}", field="track"
        )
    column = partition_column(data)
    members = [i for i, a in enumerate(data.annotations) if track in (ALL, a.challenge_id)]
    folds = [fold._replace(train=_among(fold.train, members), test=_among(fold.test, members)) for fold in _folds(data)]
    if column == "fold":  # a challenge need not have dancers in every fold
        folds = [fold for fold in folds if fold.test]
    for fold in folds:
        if not fold.train or not fold.test:
            side = "held out" if fold.train else "to learn from"
            problem = f"track {track!r}, {fold.name}: no clip is {side}"
            raise refusal([Finding(data.table, problem, f"draw the column {column} again", field=column)])
    return folds


def partition_column(data: DataSet) -> str:
    """``"split"`` or ``"fold"``, whichever the table has. Raises ``DataSetError`` unless exactly one is complete."""
    used = [column for column in PARTITIONS if any(getattr(a, column) is not None for a in data.annotations)]
    if len(used) != 1:
        problem = "has both split and fold" if used else "has neither split nor fold"
        remedy = "remove one of the columns" if used else f"run: dancerank data split {data.folder}"
        raise refusal([Finding(data.table, problem, remedy, field="split")])
    empty = [a.row for a in data.annotations if getattr(a, used[0]) is None]
    if empty:
        raise refusal([Finding(data.table, "is empty", "give every clip a part", row=empty[0], field=used[0])])
    return used[0]


def leaks(data: DataSet) -> list[Finding]:
    """Every dancer with clips in more than one part of the stored partition, with the rows."""
    column = partition_column(data)
    parts: dict[str, dict[object, list[int]]] = {}
    for a in data.annotations:
        parts.setdefault(a.dancer_id, {}).setdefault(getattr(a, column), []).append(a.row)
    findings = []
    for dancer, rows in sorted(parts.items()):
        if len(rows) > 1:
            places = "; ".join(f"{part} in {_some_rows(where)}" for part, where in sorted(rows.items(), key=str))
            remedy = "draw it again with --by-dancer"
            first = min(min(where) for where in rows.values())
            findings.append(
                Finding(data.table, f"dancer {dancer!r} straddles it ({places})", remedy, row=first, field=column)
            )
    return findings


def _folds(data: DataSet) -> list[Fold]:
    values = [(a.split, a.fold) for a in data.annotations]
    if partition_column(data) == "split":
        test = [i for i, (split, _) in enumerate(values) if split == "test"]
        return [Fold("split", [i for i, (split, _) in enumerate(values) if split == "train"], test)]
    return [
        Fold(
            f"fold {number}",
            [i for i, (_, fold) in enumerate(values) if fold != number],
            [i for i, (_, fold) in enumerate(values) if fold == number],
        )
        for number in sorted({fold for _, fold in values if fold is not None})
    ]


def _among(indices: Iterable[int], members: Sequence[int]) -> list[int]:
    allowed = set(members)
    return [i for i in indices if i in allowed]


def _group(annotation: Annotation, by_dancer: bool) -> str:
    return annotation.dancer_id if by_dancer else annotation.clip_id


def _groups(annotations: Iterable[Annotation], by_dancer: bool) -> list[_Group]:
    """Each group with its clips per challenge."""
    groups: dict[str, Counter[str]] = {}
    for annotation in annotations:
        groups.setdefault(_group(annotation, by_dancer), Counter())[annotation.challenge_id] += 1
    return list(groups.items())


def _drawn(seed: int) -> Callable[[_Group], str]:
    """A sorting key that shuffles groups by id and seed."""
    return lambda group: sha256(f"{seed}:{group[0]}".encode()).hexdigest()


def _some_rows(rows: Sequence[int], most: int = 8) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:most]))}{more}"


def rows_of_part(data: DataSet, track: str, part: Part | None) -> list[int]:
    """The rows of a ``part`` of ``track``; without one, of the test clips if the data set has a split, else of all.

    Raises ``DataSetError`` for a track or a part that there is not.
    """
    split = all(annotation.split is not None for annotation in data.annotations)
    if part == "all" or (part is None and not split):
        if track != ALL and track not in data.challenges:
            track_folds(data, track)  # names the challenges that there are
        return [row for row, a in enumerate(data.annotations) if track in (ALL, a.challenge_id)]
    if not split:
        problem = f"has no split, so there is no part {part!r}"
        raise refusal([Finding(data.table, problem, f"draw one: dancerank data split {data.folder}", field="split")])
    (fold,) = track_folds(data, track)
    return fold.train if part == "train" else fold.test
