import numpy as np
import pytest

from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from schemas.errors import NotFound, SnapshotError
from schemas.modalities import Modality


def entry(clip_id: str, dancer: str = "d", challenge: str = "ch", offset: int = 0) -> CatalogueEntry:
    return CatalogueEntry(clip_id, dancer, challenge, 0, 0, offset, (Modality.SCENIC,))


def test_rows_are_dense_and_stay() -> None:
    catalogue = Catalogue(entry(clip) for clip in ("a", "b", "a", "c"))
    assert len(catalogue) == 3
    assert [catalogue.row_of(clip) for clip in "abc"] == [0, 1, 2]
    assert catalogue.clip_ids(np.array([2, 0])) == ["c", "a"]
    assert catalogue.entry(2).clip_id == "c"


def test_rows_are_found_of_clips_that_are_held() -> None:
    catalogue = Catalogue([entry("a"), entry("b", challenge="other"), entry("c")])
    assert catalogue.rows_of(["c", "x", "b", "a"]).tolist() == [2, 1, 0]
    assert catalogue.rows_of([]).tolist() == []


def test_rows_of_several_challenges_and_dancers_are_ascending() -> None:
    catalogue = Catalogue([entry("a"), entry("b", "e", "other"), entry("c", "f", "third"), entry("d", "e")])
    assert catalogue.rows_of_challenges(["third", "ch", "ch"]).tolist() == [0, 2, 3]
    assert catalogue.rows_of_dancers(["e", "f"]).tolist() == [1, 2, 3]
    assert catalogue.of_dancers(np.array([3, 0, 2]), ["e", "unknown"]).tolist() == [True, False, False]
    assert [catalogue.clips_of_dancer(name) for name in ("e", "unknown")] == [2, 0]


def test_upload_times_are_those_of_the_clips_that_are_held() -> None:
    catalogue = Catalogue(
        CatalogueEntry(clip, "d", "ch", at_ms, 0, 0, ()) for clip, at_ms in (("a", 5), ("b", 0), ("c", 7))
    )
    catalogue.delete("b")
    for held in (catalogue, Catalogue.decode(catalogue.encode())):
        assert held.all_rows().tolist() == [0, 2]
        assert held.uploaded_at_ms(np.array([2, 0])).tolist() == [7, 5]


def test_a_clip_can_move_to_another_challenge_and_dancer() -> None:
    catalogue = Catalogue([entry("a"), entry("b")])
    catalogue.put(entry("a", "e", "other"))
    assert catalogue.rows_of_challenges(["ch"]).tolist() == catalogue.rows_of_dancers(["d"]).tolist() == [1]
    assert catalogue.rows_of_challenges(["other"]).tolist() == catalogue.rows_of_dancers(["e"]).tolist() == [0]


def test_what_is_unknown_is_named() -> None:
    catalogue = Catalogue([entry("a")])
    catalogue.put(entry("a", "e", "other"))
    for ask, field in (
        (lambda: catalogue.row_of("x"), "clip_id"),
        (lambda: catalogue.rows_of_dancers(["d"]), "dancer_id"),
        (lambda: catalogue.rows_of_challenges(["ch"]), "challenge_id"),
    ):
        with pytest.raises(NotFound) as raised:
            ask()
        assert raised.value.field == field


def test_a_catalogue_survives_encoding() -> None:
    catalogue = Catalogue([entry("b", offset=4), entry("a", "e")])
    decoded = Catalogue.decode(catalogue.encode())
    assert decoded.get("b") == entry("b", offset=4)
    assert (decoded.row_of("b"), decoded.row_of("a")) == (0, 1)
    for damaged in (b"\xff\x00", b"\x91\xa1\xff", b"\x91\x97\xa1\xff"):
        with pytest.raises(SnapshotError):
            Catalogue.decode(damaged)


def test_presence_is_known_by_modality() -> None:
    catalogue = Catalogue([entry("a"), entry("b")])
    catalogue.put(CatalogueEntry("a", "d", "ch", 0, 0, 1, (Modality.SKELETAL, Modality.FACIAL)))
    rows = np.array([1, 0, 1])
    assert catalogue.having(Modality.SCENIC, rows).tolist() == [True, False, True]
    assert catalogue.having(Modality.FACIAL, rows).tolist() == [False, True, False]
    assert catalogue.having(Modality.FACIAL, rows[:0]).tolist() == []
    catalogue.put(entry("c"))  # possible only if no array of the presence is still referred to
