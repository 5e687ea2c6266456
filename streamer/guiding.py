"""The guidance that clips get while they are scored: which of them, and what a failure costs."""

import hashlib
import logging
from typing import Final

import msgspec

from schemas.bundle import Bundle
from schemas.clock import Clock, SystemClock
from schemas.errors import InferenceFailed
from schemas.events import JointGuidance
from schemas.features import ClipFeatures
from schemas.observation import Observer
from schemas.ports import GradientRuntime, ModelRuntime
from streamer.guidance.guide import Guide
from streamer.settings import StreamerSettings

log = logging.getLogger(__name__)

STAGE: Final = "guidance"
_BITS: Final = 64


def is_chosen(clip_id: str, share: float) -> bool:
    """Whether a clip is among the ``share`` (0 to 1) that get guidance: by its id, so that a replay chooses alike."""
    drawn = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[: _BITS // 8], "big")
    return drawn < share * 2.0**_BITS


def onnx_gradients(settings: StreamerSettings, bundle: Bundle, threads: int) -> GradientRuntime:
    """Runs the gradient graphs of ``bundle``; the caller closes it. Raises as ``OnnxGradients`` does.

    ONNX Runtime is imported here: whoever needs no gradients may have chosen another runtime and have none installed.
    """
    from streamer.runtimes.gradients import OnnxGradients, gradient_providers

    return OnnxGradients(bundle, providers=gradient_providers(settings.providers), threads=threads)


def open_gradients(settings: StreamerSettings, bundle: Bundle, threads: int) -> GradientRuntime | None:
    """Runs the gradient graphs of ``bundle``; the caller closes it. ``None``, which is logged, for a bundle that has
    none, and if ``guidance_share`` is 0. Raises as ``OnnxGradients`` does.
    """
    if not settings.guidance_share:
        return None
    if isinstance(bundle.manifest.guidance, msgspec.UnsetType):
        log.warning(
            "bundle %s has no gradient graphs, so no clip gets guidance and there are no tips; run `dancerank "
            "add-guidance` on its folder, or set streamer.guidance_share = 0",
            bundle.manifest.generation,
        )
        return None
    return onnx_gradients(settings, bundle, threads)


class Guiding:
    """Gives a share of the clips guidance. Any number of threads may call it at once."""

    def __init__(
        self,
        runtime: ModelRuntime,
        gradients: GradientRuntime,
        share: float,
        *,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Both run the same bundle, and stay the caller's to close. Raises as ``Guide`` does."""
        self._guide, self._share = Guide(runtime, gradients), share
        self._observer, self._clock = observer or Observer(), clock or SystemClock()

    def chooses(self, clip_id: str, features: ClipFeatures) -> bool:
        """Whether a clip is among those that get guidance; one without a skeleton never is."""
        return self._guide.modality in features.frames and is_chosen(clip_id, self._share)

    def guidance(self, clip_id: str, features: ClipFeatures) -> JointGuidance | None:
        """``None`` if it failed, which is counted and logged: the clip is scored without."""
        started_s = self._clock.monotonic_s()
        try:
            found = self._guide.joint_guidance(features)
        except InferenceFailed as error:
            self._observer.guidance_failed()
            log.warning("clip %s is scored without guidance: %s", clip_id, error)
            return None
        self._observer.stage_timed(STAGE, self._clock.monotonic_s() - started_s, self._guide.modality)
        return found
