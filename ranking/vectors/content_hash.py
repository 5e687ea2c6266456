"""A hash of the index view's content; see ``ranking.views.content_hash``."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import numpy as np

from ranking.vectors.backends.port import VectorIndex
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.profiles import IndexesByWidth
from ranking.views.content_hash import ContentHash
from schemas.modalities import MODALITIES, Modality

_CLIPS_AT_ONCE: Final = 4096

Generations = Mapping[str, tuple[Catalogue, IndexesByWidth]]
"""The content of an index view, by model generation."""


def index_content(generations: Generations, deleted: Collection[str]) -> str:
    """Hash of an index view: of each generation every clip and its vectors, and the ids of ``deleted`` clips.

    Vectors count as float16: an index may keep that much of some, and which it is depends on when they came. A
    generation without clips counts as none: whether a view came to know it depends on what it read first. Raises
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
            held = (index for _, index in sorted(indexes.get(modality, {}).items()) if len(index))
            for index in held:
                having = _add_vectors(content, modality, index, having)
            if having:
                raise KeyError(having[0])
    content.add("deleted", sorted(deleted))
    return content.hex()


def _add_vectors(content: ContentHash, modality: Modality, index: VectorIndex, having: list[str]) -> list[str]:
    """Add the vectors that the index holds of the clips ``having`` one; returns the clips of which it holds none."""
    # The number of vectors shows those that belong to no clip.
    content.add("modality", modality, index.dim, len(index))
    elsewhere: list[str] = []
    for start in range(0, len(having), _CLIPS_AT_ONCE):
        clips = having[start : start + _CLIPS_AT_ONCE]
        vectors = index.vectors(clips)
        absent = np.isnan(vectors[:, 0])
        elsewhere += [clip_id for clip_id, is_absent in zip(clips, absent.tolist(), strict=True) if is_absent]
        content.add(vectors[~absent].astype("<f2").tobytes())
    if elsewhere:  # which of the clips the bytes above belong to
        content.add("elsewhere", elsewhere)
    return elsewhere
