import numpy as np
import pytest

from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from schemas.errors import NotFound, SnapshotError
from schemas.modalities import Modality


def entry(clip_id: str, dancer: str = "d", challenge: str = "ch", offset: int = 0) -> CatalogueEntry:
    return CatalogueEntry(clip_id, dancer, challenge, 0, 0, offset, (Modality.SCENIC,))


def test_ids_are_dense_and_stay() -> None:
    catalogue = Catalogue()
    assert [catalogue.put(entry(clip)) for clip in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert len(catalogue) == 3
    assert (catalogue.id_of("c"), catalogue.entry(2).clip_id) == (2, "c")


def test_a_clip_can_move_to_another_challenge_and_dancer() -> None:
    catalogue = Catalogue([entry("a"), entry("b")])
    catalogue.put(entry("a", "e", "other"))
    assert catalogue.ids_of_challenge("ch").tolist() == catalogue.ids_of_dancer("d").tolist() == [1]
    assert catalogue.ids_of_challenge("other").tolist() == catalogue.ids_of_dancer("e").tolist() == [0]


def test_what_is_unknown_is_named() -> None:
    catalogue = Catalogue([entry("a")])
    catalogue.put(entry("a", "e", "other"))
    for ask, field in (
        (lambda: catalogue.id_of("x"), "clip_id"),
        (lambda: catalogue.ids_of_dancer("d"), "dancer_id"),
        (lambda: catalogue.ids_of_challenge("ch"), "challenge_id"),
    ):
        with pytest.raises(NotFound) as raised:
            ask()
        assert raised.value.field == field


def test_a_catalogue_survives_encoding() -> None:
    catalogue = Catalogue([entry("b", offset=4), entry("a", "e")])
    decoded = Catalogue.decode(catalogue.encode())
    assert decoded.get("b") == entry("b", offset=4)
    assert (decoded.id_of("b"), decoded.id_of("a")) == (0, 1)
    with pytest.raises(SnapshotError):
        Catalogue.decode(b"\xff\x00")


def test_presence_is_known_by_modality() -> None:
    catalogue = Catalogue([entry("a"), entry("b")])
    catalogue.put(CatalogueEntry("a", "d", "ch", 0, 0, 1, (Modality.SKELETAL, Modality.FACIAL)))
    ids = np.array([1, 0, 1])
    assert catalogue.having(Modality.SCENIC, ids).tolist() == [True, False, True]
    assert catalogue.having(Modality.FACIAL, ids).tolist() == [False, True, False]
    assert catalogue.having(Modality.FACIAL, ids[:0]).tolist() == []
    catalogue.put(entry("c"))  # the presence of earlier clips is no longer looked at
