"""Which dance a clip shows: the bundle's style classifier on the poses that the stream of joints reads.

Legend: N clips, T time steps, V joints, C channels, K styles.
"""

import logging
from typing import Final

import numpy as np

from schemas.errors import DancerankError
from schemas.events import StyleResult
from schemas.features import Frames
from schemas.joints import convert, layout_named
from schemas.observation import Observer
from schemas.ports import Int64
from schemas.style_classifier import probabilities
from streamer.runtimes.style_network import StyleNetwork

log = logging.getLogger(__name__)

_WARNED_OF: Final = 10
"""Failures that are logged one by one; all are counted."""


class StyleRecogniser:
    """Names styles with their calibrated probability, or none where a clip is like nothing that was learned.

    Called from several threads at once. ``joint_layout`` is that of the bundle, whose poses are converted to the
    classifier's.
    """

    def __init__(self, network: StyleNetwork, joint_layout: str, observer: Observer) -> None:
        self._network, self._observer = network, observer
        self._from, self._to = layout_named(joint_layout), network.classifier.layout
        self._failures = 0

    def recognise(self, frames: Frames, lengths: Int64) -> list[StyleResult | None]:
        """One result for each clip of padded poses (N, T, V, C); ``None`` where the classifier failed, of which no clip
        is lost: it is scored without a style.
        """
        try:
            found = self._judged(frames, lengths)
        except DancerankError as error:
            if len(lengths) > 1:  # one clip must not cost the others theirs
                rows = (slice(row, row + 1) for row in range(len(lengths)))
                return [self.recognise(frames[row], lengths[row])[0] for row in rows]
            self._failed(str(error))
            return [None]
        for result in found:
            if result is not None:
                self._observer.style_recognised(result.style)
        return found

    def _judged(self, frames: Frames, lengths: Int64) -> list[StyleResult | None]:
        classifier = self._network.classifier
        poses = convert(frames, self._from, self._to)[..., : self._to.coordinates]
        judgement = self._network.run(np.ascontiguousarray(poses, np.float32), lengths)
        results: list[StyleResult | None] = []
        for row, (logits, familiarity) in enumerate(zip(judgement.logits, judgement.familiarity.tolist(), strict=True)):
            if not (np.isfinite(logits).all() and np.isfinite(familiarity)):
                self._failed(f"clip {row + 1} of {len(lengths)} gives a number that is not finite")
                results.append(None)
                continue
            shares = probabilities(logits[None], classifier.temperature)[0]
            best = int(shares.argmax())
            style = classifier.styles[best] if familiarity >= classifier.threshold else None
            results.append(StyleResult(style=style, probability=min(float(shares[best]), 1.0)))
        return results

    def _failed(self, why: str) -> None:
        self._observer.style_failed()
        self._failures += 1
        if self._failures <= _WARNED_OF:
            log.warning("a clip is scored without a style: %s", why)
