"""The table: what is read is what was written, and everything that is wrong is found with its place."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vdv.data_sets import annotation, values_of, write_rows
from vdv.annotations import COLUMNS, Annotation, read_table, write_table
from vdv.errors import DataSetError

HEADER = "clip_id,dancer_id,challenge_id,duration_s,features"
identifiers = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"], exclude_characters="/"),
    min_size=1,
    max_size=20,
).filter(lambda text: text not in (".", "..") and not any(c.isspace() for c in text))
numbers = st.floats(min_value=0, max_value=1e12, allow_nan=False)
counts = st.none() | st.integers(0, 2**53 - 1)
cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    optional: dict[str, Any] = {name: draw(counts) for name in ("likes", "comments", "reposts", "views", "followers")}
    return Annotation(
        clip_id=draw(identifiers),
        dancer_id=draw(identifiers),
        challenge_id=draw(identifiers),
        duration_s=draw(st.floats(min_value=1e-3, max_value=86_400)),
        features=draw(identifiers),
        uploaded_at_ms=draw(counts),
        days_online=draw(st.none() | numbers),
        score=draw(st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        split=draw(st.sampled_from([None, "train", "test"])),
        fold=draw(st.none() | st.integers(0, 9)),
        extra={"note": draw(cells), "difficulty, judged": draw(cells)},
        **optional,
    )


@settings(deadline=None)  # writes files
@given(st.lists(annotations(), max_size=4))
def test_a_table_reads_back_as_it_was_written(rows: list[Annotation]) -> None:
    with TemporaryDirectory() as folder:
        write_table(Path(folder), rows)
        read, findings = read_table(Path(folder))
    assert findings == []
    assert [values_of(r, "row") for r in read] == [values_of(r, "row") for r in rows]


def test_only_columns_in_use_are_written_and_unknown_ones_are_kept(tmp_path: Path) -> None:
    row = annotation("a", features="a.safetensors", score=3.5, extra={"style": "waltz"})
    write_table(tmp_path, [row])
    assert (tmp_path / "clips.csv").read_text().splitlines() == [
        f"{HEADER},score,style",
        "a,ada,renegade,4.0,a.safetensors,3.5,waltz",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["clips.csv"]


def test_a_write_that_fails_leaves_the_table_that_was_there(tmp_path: Path) -> None:
    write_table(tmp_path, [annotation("a", features="f")])
    before = (tmp_path / "clips.csv").read_bytes()

    class Unwritable:
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(tmp_path, [annotation("a", features="f"), annotation("b", extra={"x": Unwritable()})])
    assert (tmp_path / "clips.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["clips.csv"]


def test_every_wrong_cell_is_found_with_row_column_and_remedy(tmp_path: Path) -> None:
    columns = "likes,comments,reposts,days_online,score,split,fold"
    write_rows(
        tmp_path,
        f"{HEADER},{columns}",
        "a,b,c,9,f,1,2,3,1.5,,train,",
        "a b,,c,soon,f,-1,2.5,many,-3,nan,validation,-1",
        "x,y,z,inf,,1,1,1,1,inf,,",
    )
    read, findings = read_table(tmp_path)
    assert [a.row for a in read] == [2]
    assert [(f.row, f.field) for f in findings] == [
        *((3, column) for column in ("clip_id", "dancer_id", "duration_s", *columns.split(","))),
        *((4, column) for column in ("duration_s", "features", "score")),
    ]
    assert all(f.remedy and str(f).startswith(str(tmp_path / "clips.csv")) for f in findings)
    assert "'-1' is refused" in str(next(f for f in findings if f.field == "likes"))


def test_empty_cells_are_absent_values(tmp_path: Path) -> None:
    write_rows(tmp_path, f"{HEADER},likes,score,split,style", "a,b,c,9,f, ,,,")
    (read,), findings = read_table(tmp_path)
    assert (read.likes, read.score, read.split, read.extra, findings) == (None, None, None, {"style": ""}, [])


def test_what_spreadsheets_add_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_bytes(
        b"\xef\xbb\xbf" + HEADER.replace(",", ", ").encode() + b"\r\na,b,c,9,f\r\n,,,,\r\n"
    )
    (read,), findings = read_table(tmp_path)
    assert (read.clip_id, read.features, read.extra, findings) == ("a", "f", {}, [])


@pytest.mark.tried(
    kind="legal and absurd values", given="a clip of 10^308 seconds in clips.csv", outcome="refused with row and column"
)
@pytest.mark.parametrize("name", ["x" * 300, "x\0y"])
def test_spaces_around_a_name_that_no_file_can_have_are_read_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(f"clip_id,dancer_id,challenge_id,duration_s,features\na,d,c,10, {name}\n")
    (row,), findings = read_table(tmp_path)
    assert (row.features, findings) == (name, [])


def test_a_clip_longer_than_a_day_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path, HEADER, "a,b,c,1e308,f")
    _, (finding,) = read_table(tmp_path)
    assert (finding.row, finding.field, "a day at most" in finding.remedy) == (2, "duration_s", True)


@pytest.mark.tried(kind="leftovers", given="a table that cannot be written", outcome="nothing of it is left")
def test_a_table_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").mkdir()
    with pytest.raises(DataSetError, match=r"clips\.csv cannot be written"):
        write_table(tmp_path, [annotation("a", features="f")])
    assert [path.name for path in tmp_path.iterdir()] == ["clips.csv"]


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (b"", "the first row"),
        (b"clip_id,dancer_id,features\n", "challenge_id, duration_s are missing"),
        (HEADER.encode() + b",likes,likes\n", "the column likes is there twice"),
        (HEADER.replace(",", ";").encode() + b"\na;b;c;9;f\n", "save the table with commas"),
        (HEADER.replace(",", "\t").encode() + b"\na\tb\tc\t9\tf\n", "save the table with commas"),
        (HEADER.encode() + b"\na,b,c\n", "row 2: has 3 values, expected 5"),
        (HEADER.encode() + b"\na,b,c,9,f,x\n", "row 2: has 6 values, expected 5"),
        (HEADER.encode() + b"\ncaf\xe9,b,c,9,x\n", "row 2, clip_id: byte 0xe9 is not UTF-8; save the table as UTF-8"),
        (HEADER.encode() + b",d\xe9but\n", "0xe9 in the first row is not UTF-8; save the table as UTF-8"),
        (HEADER.encode() + b"\n" + b"a" * 200_000, "no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_place_and_the_remedy(
    tmp_path: Path, table: bytes, named: str
) -> None:
    (tmp_path / "clips.csv").write_bytes(table)
    _, findings = read_table(tmp_path)
    with pytest.raises(AssertionError, match=named):
        assert findings == [], str(findings[0])


def test_a_path_that_is_not_utf8_reads_back_as_it_was_written_beside_rows_that_are_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"d\xe9but.safetensors")
    write_table(tmp_path, [annotation("a", features=name), annotation("b", os.fsdecode(b"\xe9"), features="b")])
    (read,), (finding,) = read_table(tmp_path)
    assert read.features == name
    assert "row 3, dancer_id: byte 0xe9 is not UTF-8" in str(finding)


def test_a_folder_without_a_table_is_refused_with_the_columns_it_needs(tmp_path: Path) -> None:
    _, (finding,) = read_table(tmp_path)
    assert "clips.csv" in str(finding)
    assert "challenge_id" in str(finding)


def test_a_table_saved_by_a_spreadsheet_reads_like_any_other(tmp_path: Path) -> None:
    path = write_rows(tmp_path, HEADER, "a,b,c,9,f")
    plain = read_table(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_table(tmp_path) == plain


def test_the_columns_are_the_fields_of_an_annotation() -> None:
    assert set(COLUMNS) | {"extra", "row"} == set(Annotation.__struct_fields__)


@pytest.mark.tried(
    kind="two readers, two truths",
    given="counts written 1.000, 1e3, 1_000, 0x10 in clips.csv",
    outcome="refused with row and column",
)
@pytest.mark.parametrize("column", ["likes", "comments", "reposts", "views", "followers", "fold", "uploaded_at_ms"])
@pytest.mark.parametrize("text", ["1.000", "1e3", "1_000", "1 000", "1.0", "0x10", "١٠٠٠"])
def test_a_whole_number_that_may_be_read_in_two_ways_is_refused(tmp_path: Path, column: str, text: str) -> None:
    write_rows(tmp_path, f"clip_id,dancer_id,challenge_id,duration_s,features,{column}", f"a,b,c,4.000,f,{text}")
    rows, (finding,) = read_table(tmp_path)
    assert rows == []
    assert f"{column}: {text!r} is refused (ambiguous; write a whole number with digits alone" in str(finding)
