"""The networks that see pictures: manifests, the catalogue of what can be fetched, converting, running."""

from extraction.models.manifest import ModelManifest
from extraction.models.running import Model, open_model

__all__ = ["Model", "ModelManifest", "open_model"]
