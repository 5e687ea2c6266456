"""What the index view holds, as one number; see ``ranking.views.content_hash``."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import numpy as np

from ranking.vectors.backends.port import VectorIndex
from ranking.vectors.catalogue import Catalogue
from ranking.views.content_hash import ContentHash
from schemas.modalities import MODALITIES, Modality

_CLIPS_AT_ONCE: Final = 4096

Generations = Mapping[str, tuple[Catalogue, Mapping[Modality, VectorIndex]]]
"""What an index view holds, by model generation."""


def index_content(generations: Generations, deleted: Collection[str]) -> str:
    """Hash of an index view: of each generation every clip and its float32 vectors, and the ids of ``deleted`` clips.

    A generation without clips counts as none: whether a view came to know it depends on what it read first. Raises
    ``KeyError`` for a clip whose vector is not in the index where its entry says it is.
    """
    content = ContentHash()
    for generation, (catalogue, indexes) in sorted(generations.items()):
        if not len(catalogue):
            continue
        entries = catalogue.entries()
        content.add("generation", generation, len(entries))
        for entry in entries:
            content.add(*msgspec.structs.astuple(entry))
        for modality in MODALITIES:
            having = [entry.clip_id for entry in entries if modality in entry.modalities]
            if having or len(indexes.get(modality, ())):
                _add_vectors(content, modality, indexes[modality], having)
    content.add("deleted", sorted(deleted))
    return content.hex()


def _add_vectors(content: ContentHash, modality: Modality, index: VectorIndex, having: list[str]) -> None:
    # The number of vectors shows those that belong to no clip.
    content.add("modality", modality, index.dim, len(index))
    for start in range(0, len(having), _CLIPS_AT_ONCE):
        vectors = index.vectors(having[start : start + _CLIPS_AT_ONCE])
        if (absent := np.isnan(vectors[:, 0])).any():
            raise KeyError(having[start + int(absent.argmax())])
        content.add(vectors.astype("<f4").tobytes())
