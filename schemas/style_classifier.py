"""The style classifier of a bundle: what its graph reads and gives, and which styles it knows.

Legend: N clips, T time steps, V joints, C coordinates, K styles.

===========  ===========================================================  ======================================
graph        inputs                                                       outputs
===========  ===========================================================  ======================================
``FILE``     ``frames`` (N, T, V, C) float32 in the classifier's layout,  ``logits`` (N, K), ``familiarity`` (N,)
             ``lengths`` (N,) int64                                       float32
===========  ===========================================================  ======================================

The probabilities of the styles are softmax(logits / temperature). A clip whose familiarity is below the threshold shows
none of the styles that the classifier knows.
"""

import math
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import BundleError
from schemas.escaping import shortened
from schemas.joints import CONVERSION_TARGET, LAYOUTS, JointLayout
from schemas.local_files import read_json

LOGITS: Final = "logits"
FAMILIARITY: Final = "familiarity"

UNKNOWN_STYLE: Final = "unknown"
"""In the place of a style, in questions, answers and views: clips that show none of the styles that the classifier
knows. No style has this name."""

MAX_STYLE_LENGTH: Final = 64
DEFAULT_NETWORK: Final = "movement"
"""The discriminant of how much and how fast each joint moves."""
MANIFEST_NAME: Final = "classifier.json"
FILE: Final = "styles.onnx"
_MAX_QUOTED: Final = 80


class StyleClassifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A graph that distinguishes ``styles``, class k being ``styles[k]``, and how to read what it gives.

    ``temperature`` was fitted to validation clips, and so was ``threshold``, the least familiarity of a clip whose
    style is named. ``joint_layout`` is that of its frames; of each joint it reads the layout's coordinates.
    ``network`` says what it is, as ``dancerank styles train`` names it, ``training_data`` what it learned from,
    ``metrics`` what it reached, ``agreement`` how far torch and ONNX Runtime differ in a logit or a familiarity,
    relative to its size.
    """

    file: str
    sha256: str
    joint_layout: str
    styles: tuple[str, ...]
    temperature: float
    threshold: float
    network: str = DEFAULT_NETWORK
    training_data: str = ""
    metrics: dict[str, float] = {}
    agreement: float = 0.0

    @property
    def layout(self) -> JointLayout:
        return LAYOUTS[self.joint_layout]

    def problem(self) -> str | None:
        """What is wrong with it, in a sentence without a remedy; ``None``: nothing."""
        if self.joint_layout not in LAYOUTS:
            quoted = shortened(repr(self.joint_layout), _MAX_QUOTED)
            return f"joint_layout {quoted} is unknown; this release reads {', '.join(LAYOUTS)}"
        if len(set(self.styles)) != len(self.styles) or len(self.styles) < 2:
            return "styles must be distinct, at least two"
        for style in self.styles:
            if (wrong := style_problem(style)) is not None:
                return wrong
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            return "temperature must be a number above 0"
        if not math.isfinite(self.threshold):
            return "threshold must be a finite number"
        return None

    def problem_with(self, joint_layout: str | None) -> str | None:
        """Why it cannot read the poses of a bundle of ``joint_layout``; ``None``: it can."""
        if joint_layout is None:
            return "the bundle has no stream of joints, and styles are recognised by joints"
        if self.joint_layout not in (joint_layout, CONVERSION_TARGET):
            return (
                f"the classifier reads {self.joint_layout} and the bundle {joint_layout}, which can be converted to "
                f"{CONVERSION_TARGET} only"
            )
        return None


def style_problem(style: str) -> str | None:
    """Why ``style`` is not a name of a style; ``None``: it is."""
    quoted = shortened(repr(style), _MAX_QUOTED)
    if not style or style != style.strip() or not style.isprintable():
        return f"the style {quoted} has to be a name without spaces around it"
    if len(style) > MAX_STYLE_LENGTH:
        return f"the style {quoted} has {len(style)} characters, {MAX_STYLE_LENGTH} at most"
    if style == UNKNOWN_STYLE:
        return f"the name {UNKNOWN_STYLE!r} stands for clips of no known style"
    return None


class ClassifierFolder(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="style-classifier/1"
):
    """What ``MANIFEST_NAME`` says in a classifier's own folder, before it is attached to a bundle."""

    classifier: StyleClassifier


def read_classifier(folder: Path) -> tuple[StyleClassifier, bytes]:
    """A verified classifier and its graph, from the folder that ``dancerank styles train`` wrote.

    Raises ``BundleError`` naming the file: absent, malformed, of another format, or with a changed byte.
    """
    from schemas.bundle import GraphFile, read_listed_file

    path = folder / MANIFEST_NAME
    remedy = "train it again with this release: dancerank styles train"
    try:
        classifier = read_json(path, ClassifierFolder, "classifier").classifier
    except ValueError as error:
        raise BundleError(f"{path}: {error}; {remedy}") from error
    if (wrong := classifier.problem()) is not None:
        raise BundleError(f"{path}: {wrong}; {remedy}")
    return classifier, read_listed_file(folder, GraphFile(classifier.file, classifier.sha256), MANIFEST_NAME)


def probabilities(logits: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """softmax(logits / temperature) of (N, K)."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
