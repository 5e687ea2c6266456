"""Opens the extractors that ship: BlazePose, faces, pictures and backgrounds, on the networks of the models' folder."""

import hashlib
from pathlib import Path
from typing import Final

from extraction.backgrounds.scenic import Gist, SceneEmbedding, SceneNetwork, open_scenic
from extraction.faces.facial import open_facial
from extraction.holistic import open_holistic
from extraction.models.folder import default_folder, installed
from extraction.models.running import Model, open_model
from extraction.one_pass import Extractors
from extraction.people import open_people, open_skeletal
from extraction.people.landmarks import FOLLOWED_BY
from extraction.settings import ExtractionSettings
from extraction.stream_threads import cores
from schemas.errors import ConfigurationError
from schemas.modalities import Modality

POSES: Final = ("pose-landmarks-lite", "pose-landmarks-full")
FACES: Final = ("face-features", "frame-features")
"""What is taken if the setting names no network: the first that is there. The second needs Python's index alone."""

_METHOD_VERSION: Final = 6
"""Raised when other features come of the same networks and settings."""


def networks_of(settings: ExtractionSettings) -> dict[str, str]:
    """The network that each part of the extraction runs, by the name of the setting that chooses it."""
    there = set(installed(folder_of(settings)))
    return {
        "pose_detector": settings.pose_detector,
        "pose_network": settings.pose_network or _first(POSES, there),
        "face_detector": settings.face_detector,
        "face_network": settings.face_network or _first(FACES, there),
        "frame_network": settings.frame_network,
    } | ({"scene_network": settings.scene_network} if settings.scene_network else {})


def early_of(part: str) -> tuple[str, ...]:
    """Outputs of a part's network that come first, apart from the others: the dancer is followed without the mask."""
    return FOLLOWED_BY if part == "pose_network" else ()


def folder_of(settings: ExtractionSettings) -> Path:
    """The models' folder."""
    return settings.models_folder or default_folder()


def threads_of(settings: ExtractionSettings) -> int:
    """Threads that run one operator: at least two networks run side by side, so each has half of the cores."""
    return settings.threads or max(1, cores() // 2)


def open_shipped(settings: ExtractionSettings) -> Extractors:
    """Load the networks and run each once.

    Raises ``ExtractorModelMissing`` naming the command that fetches a network, ``ExtractorModelInvalid`` for one that
    is damaged, and ``ConfigurationError`` for one that its part cannot use, and for the providers.
    """
    opened: dict[str, Model] = {}
    for part, name in networks_of(settings).items():
        if name not in opened:
            opened[name] = open_model(
                name,
                folder=folder_of(settings),
                providers=settings.providers,
                threads=threads_of(settings),
                early=early_of(part),
            )
            opened[name].run(opened[name].blank())  # the first run is slower than all others
    models = {part: opened[name] for part, name in networks_of(settings).items()}
    try:
        return _extractors(settings, models)
    except (ValueError, KeyError) as error:
        raise ConfigurationError(
            f"a network of [extraction] cannot be used where it is named ({error}); name one of the kind that "
            "docs/extraction.md gives for each part",
            field="extraction",
        ) from error


def _extractors(settings: ExtractionSettings, models: dict[str, Model]) -> Extractors:
    scene: SceneEmbedding = SceneNetwork(models["scene_network"]) if "scene_network" in models else Gist()
    return Extractors(
        open_people(models["pose_detector"], models["pose_network"]),
        {
            Modality.SKELETAL: open_skeletal(models["pose_network"].manifest.title),
            Modality.HOLISTIC: open_holistic(models["frame_network"]),
            Modality.FACIAL: open_facial(models["face_detector"], models["face_network"]),
            Modality.SCENIC: open_scenic(settings.background, scene),
        },
        identity=_identity(settings, models, scene),
    )


def _identity(settings: ExtractionSettings, models: dict[str, Model], scene: SceneEmbedding) -> str:
    """Of all that decides about the features: a digest of networks, methods and settings."""
    titles = [f"{part}={model.manifest.title}" for part, model in sorted(models.items())]
    parts = [*titles, scene.extractor, settings.background, str(settings.longest_side), str(_METHOD_VERSION)]
    return f"shipped/{_METHOD_VERSION} sha256:{hashlib.sha256('; '.join(parts).encode()).hexdigest()[:12]}"


def _first(names: tuple[str, ...], there: set[str]) -> str:
    return next((name for name in names if name in there), names[0])
