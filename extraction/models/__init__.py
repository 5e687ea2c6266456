"""The networks that see pictures: manifests, the catalogue of what can be fetched, converting, running."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports

if TYPE_CHECKING:
    from extraction.models.manifest import ModelManifest
    from extraction.models.running import Model, open_model

__all__ = ["Model", "ModelManifest", "open_model"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {"extraction.models.manifest": ("ModelManifest",), "extraction.models.running": ("Model", "open_model")},
)
