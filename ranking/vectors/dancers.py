"""Dancers who dance alike, by their profiles or by their best clips.

No index holds profiles: each clip would change one. So those that are compared are the dancers of the clips that are
most similar to the profile asked about, at least ``_LEAST_COMPARED`` of them, which makes the answer approximate; where
a space is small all dancers are compared. The similarity of each hit is that of whole profiles.
"""

from contextlib import nullcontext
from typing import Final

import numpy as np

from ranking.vectors.catalogue import Catalogue
from ranking.vectors.conditions import Undecided
from ranking.vectors.profiles import IndexesByWidth, Profiles, Unsummed
from ranking.vectors.similarity import Reading, SimilaritySearch
from ranking.vectors.weights import normalised
from schemas.modalities import Modality
from schemas.ports import Float32
from schemas.questions.dancers import SimilarDancer, SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import MAX_HITS, SimilarAnswer, SimilarQuery

_SMALL: Final = 4096
"""Clips of a space in which all dancers are compared."""
_LEAST_COMPARED: Final = 100
_COMPARED_PER_HIT: Final = 4


class DancerSearch:
    """Answers over a catalogue, indexes and profiles."""

    def __init__(
        self,
        generation: str,
        catalogue: Catalogue,
        indexes: IndexesByWidth,
        profiles: Profiles,
        reading: Reading = nullcontext,
    ) -> None:
        """``reading``: as in ``SimilaritySearch``."""
        self._generation = generation
        self._catalogue = catalogue
        self._indexes = indexes
        self._profiles = profiles
        self._reading = reading

    def answer(self, query: SimilarDancersQuery) -> SimilarDancersAnswer | Unsummed:
        """A dancer who shares none of the weighted modalities is not a hit. ``Unsummed`` if profiles have to be summed
        before there is an answer. Raises ``NotFound`` and ``QueryError`` naming the parameter.
        """
        if query.by == "clips":
            found = self._search(query, query.k)
            with self._reading():
                return found if isinstance(found, Unsummed) else self._by_clips(query, found)
        compared = None if len(self._catalogue) <= _SMALL else self._search(query, _compared(query))
        if isinstance(compared, Unsummed):
            return compared
        with self._reading():
            return self._by_profiles(query, compared)

    def _by_profiles(
        self, query: SimilarDancersQuery, compared: SimilarAnswer | None
    ) -> SimilarDancersAnswer | Unsummed:
        """``compared`` names the dancers to compare with; ``None`` for all others."""
        if unsummed := self._profiles.unsummed([query.dancer_id], self._catalogue):
            return Unsummed(unsummed)
        asked = self._profiles.directions(query.dancer_id, self._catalogue, self._indexes)
        weights = normalised(query.weights, asked)
        if compared is None:
            dancers = sorted({*self._catalogue.dancers()} - {query.dancer_id})
        else:
            named = (hit.dancer_id for hit in compared.hits)
            dancers = [each for each in named if self._catalogue.clips_of_dancer(each)]
        if unsummed := self._profiles.unsummed(dancers, self._catalogue):
            return Unsummed(unsummed)
        hits = [self._hit(dancer_id, asked, weights) for dancer_id in dancers]
        shown = [hit for hit in hits if any(weights[modality] for modality in hit.similarities)]
        shown.sort(key=lambda hit: (-hit.similarity, hit.dancer_id))
        return SimilarDancersAnswer(
            self._generation, query.dancer_id, query.by, weights, shown[: query.k], approximate=compared is not None
        )

    def _by_clips(self, query: SimilarDancersQuery, found: SimilarAnswer) -> SimilarDancersAnswer:
        hits = [
            SimilarDancer(
                hit.dancer_id,
                self._catalogue.clips_of_dancer(hit.dancer_id),
                hit.similarity,
                hit.similarities,
                hit.missing,
                hit.clip_id,
            )
            for hit in found.hits
            # Since the search the clip may have been deleted, or uploaded again by another dancer.
            if (clip := self._catalogue.get(hit.clip_id)) is not None and clip.dancer_id == hit.dancer_id
        ]
        return SimilarDancersAnswer(
            self._generation, query.dancer_id, query.by, found.weights, hits, approximate=found.approximate
        )

    def _search(self, query: SimilarDancersQuery, count: int) -> SimilarAnswer | Unsummed:
        search = SimilaritySearch(self._generation, self._catalogue, self._indexes, self._profiles, self._reading)
        of_clips = SimilarQuery(dancer_id=query.dancer_id, weights=query.weights, k=count, group_by="dancer")
        found = search.answer(of_clips, now_ms=0)  # no half-life asks for ages
        if isinstance(found, Undecided):
            raise TypeError("a question without conditions leaves nothing undecided")
        return found

    def _hit(self, dancer_id: str, asked: dict[Modality, Float32], weights: dict[Modality, float]) -> SimilarDancer:
        theirs = self._profiles.directions(dancer_id, self._catalogue, self._indexes)
        cosines = {
            modality: float(np.clip(np.einsum("d,d->", direction, theirs[modality]), -1.0, 1.0))
            for modality, direction in asked.items()
            if modality in theirs and len(theirs[modality]) == len(direction)
        }
        return SimilarDancer(
            dancer_id=dancer_id,
            clips=self._catalogue.clips_of_dancer(dancer_id),
            similarity=sum(weights[modality] * cosine for modality, cosine in cosines.items()),
            similarities=cosines,
            missing=[modality for modality in asked if modality not in cosines],
        )


def _compared(query: SimilarDancersQuery) -> int:
    """How many dancers are compared."""
    return min(max(_LEAST_COMPARED, _COMPARED_PER_HIT * query.k), MAX_HITS)
