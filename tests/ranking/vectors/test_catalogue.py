from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.catalogue_block import CatalogueBlock, merged, read_block
from ranking.vectors.change_log import framed
from ranking.vectors.groups import GroupNumbers
from ranking.vectors.snapshot_logs import read_catalogue
from schemas.errors import NotFound, SnapshotError
from schemas.modalities import FUSED_MODALITIES, Modality


def entry(clip_id: str, dancer: str = "d", challenge: str = "ch", offset: int = 0) -> CatalogueEntry:
    return CatalogueEntry(clip_id, dancer, challenge, 0, 0, offset, (Modality.SCENIC,))


def restored(catalogue: Catalogue) -> Catalogue:
    return restored_from(catalogue.block())


def restored_from(block: CatalogueBlock) -> Catalogue:
    return Catalogue.of(merged([read_block(block.encoded())]))


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
    assert catalogue.of_challenges(np.array([3, 1, 2]), ["other"]).tolist() == [False, True, False]
    assert [catalogue.clips_of_dancer(name) for name in ("e", "unknown")] == [2, 0]


def test_upload_times_are_those_of_the_clips_that_are_held() -> None:
    catalogue = Catalogue(
        CatalogueEntry(clip, "d", "ch", at_ms, 0, 0, ()) for clip, at_ms in (("a", 5), ("b", 0), ("c", 7))
    )
    catalogue.delete("b")
    for held in (catalogue, restored(catalogue)):
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
    decoded = restored(catalogue)
    assert decoded.entries() == catalogue.entries() == [entry("a", "e"), entry("b", offset=4)]
    assert (decoded.row_of("b"), decoded.row_of("a")) == (0, 1)


def test_rows_stay_when_a_catalogue_is_restored_and_a_freed_row_is_reused() -> None:
    catalogue = Catalogue(entry(clip) for clip in "abc")
    catalogue.delete("a")
    for held in (catalogue, restored(catalogue)):
        assert held.find(["c", "a", "b"]).tolist() == [2, -1, 1]
        held.put(entry("d"))
        held.put(entry("e"))
        assert held.find([*"abcde"]).tolist() == [-1, 1, 2, 0, 3]
        assert held.clip_ids(np.arange(4)) == ["d", "b", "c", "e"]


def test_a_reserved_row_is_that_of_the_clip_once_it_is_put_and_of_no_other() -> None:
    catalogue = Catalogue([entry("a")])
    row = catalogue.reserve("b")
    assert (len(catalogue), catalogue.get("b")) == (1, None)
    with pytest.raises(NotFound):
        catalogue.row_of("b")
    catalogue.put(entry("c"))
    assert catalogue.find(["a", "b", "c"]).tolist() == [0, row, 2]
    assert restored(catalogue).find(["a", "b", "c"]).tolist() == [0, -1, 2]
    catalogue.put(entry("b"))
    assert (catalogue.row_of("b"), catalogue.reserve("b")) == (row, row)
    catalogue.reserve("d")
    catalogue.delete("d")
    assert catalogue.reserve("e") == 3, "a reserved row can be given back"


CLIPS = st.sampled_from("abcdef")
CHANGE = st.tuples(
    CLIPS,
    st.none()
    | st.tuples(st.sampled_from("de"), st.sampled_from(["x", "y"]), st.sets(st.sampled_from(FUSED_MODALITIES))),
)


@settings(deadline=None)
@given(st.lists(st.lists(CHANGE, max_size=5), max_size=5))
def test_the_changes_of_each_snapshot_together_are_the_catalogue(
    batches: list[list[tuple[str, tuple[str, str, set[Modality]] | None]]],
) -> None:
    catalogue, model, content = Catalogue(), dict[str, CatalogueEntry](), b""
    for number, batch in enumerate(batches):
        for clip_id, put in batch:
            if put is None:
                catalogue.delete(clip_id)
                model.pop(clip_id, None)
            else:
                modalities = tuple(modality for modality in FUSED_MODALITIES if modality in put[2])
                style = ("waltz", "unknown", None)[number % 3]
                model[clip_id] = CatalogueEntry(clip_id, put[0], put[1], number, 1, number, modalities, style)
                catalogue.put(model[clip_id])
        content += framed(catalogue.unwritten().encoded())
        expected = sorted(model.values(), key=lambda each: each.clip_id)
        read = read_catalogue(content)
        for held in (catalogue, read, restored(catalogue)):
            assert held.entries() == expected
            assert held.find([*"abcdef"]).tolist() == catalogue.find([*"abcdef"]).tolist()
            for name in ("d", "e"):
                of_dancer = [entry.clip_id for entry in expected if entry.dancer_id == name]
                assert held.clips_of_dancer(name) == len(of_dancer)
                if of_dancer:
                    assert sorted(held.clip_ids(held.rows_of_dancers([name]))) == of_dancer
            for modality in FUSED_MODALITIES:
                having = [entry.clip_id for entry in expected if modality in entry.modalities]
                assert sorted(held.clip_ids(held.clips_having(modality))) == having
                assert held.count_having(modality) == len(having)


def test_what_no_clip_has_any_more_is_not_written() -> None:
    catalogue = Catalogue([entry("a", "secret", "hidden"), entry("b")])
    catalogue.delete("a")
    content = catalogue.unwritten().encoded()
    assert not any(name in content for name in (b"secret", b"hidden"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:5],
        lambda content: content[:8] + b"\xff" * (len(content) - 8),
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content + b"\0\0\0\0\0\0\0\1\x90",
    ],
)
def test_a_damaged_catalogue_is_refused(damage: Callable[[bytes], bytes]) -> None:
    content = framed(Catalogue([entry("b", offset=4), entry("a", "e")]).block().encoded())
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_catalogue(damage(content))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", np.array([1, 0])),
        ("rows", np.array([0])),
        ("clip_ids", ["a"]),
        ("clip_ids", ["a", "a"]),
        ("challenges", GroupNumbers(np.array([1, 2], np.uint32), ["ch"])),
        ("dancers", GroupNumbers(np.array([0, 1], np.uint32), ["d"])),
        ("presence", np.array([1, 1, 1], np.uint32)),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(field: str, value: object) -> None:
    block = Catalogue([entry("a"), entry("b", "e", "other")]).block()
    with pytest.raises(SnapshotError, match="the catalogue cannot be read"):
        restored_from(structs.replace(block, **{field: value}))


def test_presence_is_known_by_modality() -> None:
    catalogue = Catalogue([entry("a"), entry("b")])
    catalogue.put(CatalogueEntry("a", "d", "ch", 0, 0, 1, (Modality.SKELETAL, Modality.FACIAL)))
    rows = np.array([1, 0, 1])
    assert catalogue.having(Modality.SCENIC, rows).tolist() == [True, False, True]
    assert catalogue.having(Modality.FACIAL, rows).tolist() == [False, True, False]
    assert catalogue.having(Modality.FACIAL, rows[:0]).tolist() == []
    catalogue.put(entry("c"))  # possible only if no array of the presence is still referred to
