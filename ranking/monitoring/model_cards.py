"""What a bundle says of itself, for people and the API."""

import math

from schemas.bundle import SYNTHETIC_WARNING, BundleManifest
from schemas.questions.model import ModelCard, StreamCard, StyleCard
from schemas.style_classifier import StyleClassifier


def model_card(manifest: BundleManifest, active: str | None) -> ModelCard:
    """The card of a bundle; ``active``: the generation that answers."""
    architecture = {name: text for name, text in manifest.architecture.items() if not name.startswith(_PARAMETERS)}
    return ModelCard(
        generation=manifest.generation,
        is_active=manifest.generation == active,
        trained_on_synthetic_clips=manifest.trained_on_synthetic_clips,
        warning=SYNTHETIC_WARNING if manifest.trained_on_synthetic_clips else None,
        training_data=manifest.training_data or None,
        training_distribution=list(manifest.training_distribution),
        target=manifest.target.described(),
        metrics=manifest.metrics,
        architecture=architecture,
        joint_layout=manifest.joint_layout,
        opset=manifest.opset,
        export_profile=str(manifest.profile.name),
        parity=manifest.profile.agreement,
        calibrated_on=manifest.profile.calibration or None,
        streams=[
            StreamCard(
                modality=stream.modality,
                input_channels=stream.input_channels,
                embedding_width=stream.embedding_dim,
                precision=str(stream.precision),
                parameters=_parameters(manifest, str(stream.modality)),
            )
            for stream in manifest.streams
        ],
        has_gradient_graphs=bool(manifest.gradient_files()),
        style_classifier=_style_card(manifest.classifier),
    )


def _style_card(classifier: StyleClassifier | None) -> StyleCard | None:
    if classifier is None:
        return None
    return StyleCard(
        styles=list(classifier.styles),
        training_data=classifier.training_data or None,
        metrics={name: value for name, value in classifier.metrics.items() if math.isfinite(value)},
    )


_PARAMETERS = "parameters."


def _parameters(manifest: BundleManifest, graph: str) -> int | None:
    text = manifest.architecture.get(f"{_PARAMETERS}{graph}", "")
    return int(text) if text.isdecimal() else None
