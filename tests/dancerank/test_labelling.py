"""Export of counts and uploads to a data set: which clips, their features, and what is reported about the others."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dancerank.labelling.exclusions import MOST_EXAMPLES, LeftOut, Reason
from dancerank.labelling.export import Exported, export_labels
from dancerank.labelling.features import UploadedFeatures
from dancerank.labelling.uploads import Uploads
from ranking.scores.observations import ObservedClip
from schemas.codec import encode, encode_json
from schemas.errors import ConfigurationError, ExtractorMissing, FeatureFileMissing, FeatureStoreUnavailable
from schemas.events import FeatureFile
from schemas.features import ClipFeatures
from schemas.joints import CONVERSIONS, LAYOUTS, JointLayout
from schemas.modalities import Modality
from schemas.virality_target import Target, TargetSettings
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from tests.clips import random_features, upload
from tests.ranking.scores.observed_rows import UPLOADED_AT_MS, observed
from tests.streamer.videos import ROOT, memory, video_upload
from vdv.annotations import Annotation
from vdv.checking import check_folder
from vdv.errors import DataSetError
from vdv.folder import DataSet

TOPIC = "uploads"
POSES = (Modality.SKELETAL,)
NO_STORE = FeatureStore(FeatureRoots(()), max_bytes=2**20, patience_s=0.1, options={})


def reader(store: FeatureStore = NO_STORE, layout: JointLayout | None = None) -> UploadedFeatures:
    return UploadedFeatures(store, max_bytes=2**20, layout=layout)


def pose(seed: int = 0, **choices: Any) -> ClipFeatures:
    return random_features(3.0, **({"modalities": POSES, "seed": seed} | choices))


def uploaded(rows: Iterable[ObservedClip]) -> list[bytes | None]:
    return [
        encode(upload(row.clip_id, pose(seed), challenge_id="ch" if row.upload is None else row.upload.challenge_id))
        for seed, row in enumerate(rows)
    ]


def clips(count: int, challenge_id: str = "ch", **changes: Any) -> list[ObservedClip]:
    return [observed(f"{challenge_id}-{i:02d}", challenge_id, **({"likes": i} | changes)) for i in range(count)]


def export(
    folder: Path, rows: Iterable[ObservedClip], values: Iterable[bytes | None] | None = None, **choices: Any
) -> Exported:
    rows = list(rows)
    features = choices.pop("features", None) or reader()
    return export_labels(folder, rows, uploaded(rows) if values is None else values, features, **choices)


def ids(data: DataSet) -> list[str]:
    return sorted(annotation.clip_id for annotation in data.annotations)


def annotations(*rows: ObservedClip) -> dict[str, Annotation]:
    return {
        row.clip_id: Annotation(clip_id=row.clip_id, **row.upload._asdict()) for row in rows if row.upload is not None
    }


def test_the_upload_that_the_ranking_holds_is_taken_the_last_one_of_its_repetitions() -> None:
    def version(uri: str, **changes: Any) -> bytes:
        return encode(msgspec.structs.replace(upload("a", FeatureFile(uri)), **({"challenge_id": "ch"} | changes)))

    values = [
        version("file:///older", uploaded_at_ms=UPLOADED_AT_MS - 1),
        version("file:///first"),
        version("file:///again"),
        version("file:///moved", challenge_id="other"),
        version("file:///newer", uploaded_at_ms=UPLOADED_AT_MS + 1),
    ]
    for seed in range(5):
        mixed = [*values[:1], *values[3:]]
        random.Random(seed).shuffle(mixed)
        with Uploads(annotations(observed("a"))) as found:
            for value in [*mixed[:2], *values[1:3], *mixed[2:]]:
                found.take(value)
            assert found.features_of("a") == FeatureFile("file:///again")
            assert "b" not in found


def test_inline_features_come_back_whole_and_json_and_strangers_are_read_too() -> None:
    made = {clip_id: upload(clip_id, pose(seed), challenge_id="ch") for seed, clip_id in enumerate("abc")}
    with Uploads(annotations(observed("a"), observed("b"))) as found:
        for value in (b"{", b"\x01", None, encode(made["c"]), encode(made["a"]), encode_json(made["b"])):
            found.take(value)
        assert found.features_of("b") == made["b"].features
        assert found.features_of("a") == made["a"].features
        assert "c" not in found
        assert found.unreadable == 2


def test_reasons_are_counted_and_the_first_of_each_are_named() -> None:
    left_out = LeftOut()
    for number in range(MOST_EXAMPLES + 2):
        left_out.add(Reason.GONE, f"clip-{number}")
    left_out.add(Reason.YOUNG, "clip-x: at 0.10 days")
    assert left_out.counts == {Reason.YOUNG: 1, Reason.GONE: 5}
    text = "\n".join(left_out.lines())
    assert all(f"clip-{number}\n" in text for number in range(MOST_EXAMPLES))
    assert f"clip-{MOST_EXAMPLES}" not in text
    assert text.endswith("…")


def test_only_counts_of_the_age_asked_for_are_learned_from(tmp_path: Path) -> None:
    rows = [observed(f"{i}", likes=i, days_online=days) for i, days in enumerate((0.0, 0.99, 1.0, 1.5, 400.0))]
    exported = export(tmp_path / "a", rows, fewest_clips=2)
    assert ids(exported.data) == ["2", "3", "4"]
    assert exported.left_out.counts == {Reason.YOUNG: 2}
    assert ids(export(tmp_path / "b", rows, fewest_clips=2, least_days=0.0).data) == ["0", "1", "2", "3", "4"]


def test_clips_that_the_ranking_does_not_hold_and_a_challenge_called_all_are_left_out(tmp_path: Path) -> None:
    rows = [*clips(5), observed("stranger", upload=None), *clips(5, "all")]
    exported = export(tmp_path, rows)
    assert ids(exported.data) == ids_of(rows[:5])
    assert exported.left_out.counts == {Reason.UNRANKED: 1, Reason.NAMED_ALL: 5}
    assert not check_folder(tmp_path).findings


def test_for_reactions_per_view_clips_without_plausible_views_are_left_out(tmp_path: Path) -> None:
    rows = [row._replace(views=1000 * (i + 1), likes=40 * i * i) for i, row in enumerate(clips(7))]
    rows[2], rows[3] = rows[2]._replace(views=None), rows[3]._replace(views=0)
    exported = export(tmp_path / "a", rows, target=Target.PER_VIEW)
    assert ids(exported.data) == ids_of([*rows[:2], *rows[4:]])
    assert exported.left_out.counts == {Reason.NO_VIEWS: 1, Reason.FEWER_VIEWS: 1}
    assert not check_folder(tmp_path / "a", target=TargetSettings(target=Target.PER_VIEW)).findings
    assert ids(export(tmp_path / "b", rows).data) == ids_of(rows)
    with pytest.raises(ConfigurationError, match="followers are not observed"):
        export(tmp_path / "c", rows, target=Target.AUDIENCE_ADJUSTED)


def ids_of(rows: Iterable[ObservedClip]) -> list[str]:
    return sorted(row.clip_id for row in rows)


def test_challenges_in_which_there_is_nothing_to_rank_are_left_out(tmp_path: Path) -> None:
    rows = [*clips(4, "small"), *clips(6, "equal", likes=3), *clips(5, "good")]
    exported = export(tmp_path, rows)
    assert ids(exported.data) == ids_of(rows[10:])
    assert exported.left_out.counts == {Reason.NOT_COMPARABLE: 10}
    assert not check_folder(tmp_path).findings


@pytest.mark.parametrize("fewest_clips", [2, 3, 5])
def test_whatever_can_be_read_what_is_written_is_comparable_and_all_of_it(tmp_path: Path, fewest_clips: int) -> None:
    draw = random.Random(fewest_clips)
    for attempt in range(12):
        rows = [
            observed(f"{challenge}-{i}", challenge, likes=draw.choice([0, 0, 0, 5]), days_online=8.0)
            for challenge in ("x", "y", "z")
            for i in range(draw.randrange(1, 9))
        ]
        there = [row for row in rows if draw.random() < 0.7]
        expected = []
        for challenge in ("x", "y", "z"):
            members = [row for row in there if row.upload is not None and row.upload.challenge_id == challenge]
            if len(members) >= fewest_clips and len({row.likes for row in members}) > 1:
                expected += members
        folder = tmp_path / str(attempt)
        if not expected:
            with pytest.raises(DataSetError, match="no clip is left"):
                export(folder, rows, uploaded(there), fewest_clips=fewest_clips)
            assert not folder.exists()
            continue
        exported = export(folder, rows, uploaded(there), fewest_clips=fewest_clips)
        assert ids(exported.data) == ids_of(expected)
        assert sum(exported.left_out.counts.values()) == len(rows) - len(expected)
        assert exported.left_out.counts.get(Reason.GONE, 0) == len(rows) - len(there)
        assert not check_folder(folder).findings


class Counting(UploadedFeatures):
    """Counts how many clips are held at once by whoever reads."""

    def __init__(self) -> None:
        super().__init__(NO_STORE, max_bytes=2**20)
        self.read_clips = 0

    def read(self, source: Any) -> ClipFeatures:
        self.read_clips += 1
        return super().read(source)


def test_equal_scores_are_not_held_in_memory_until_another_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*clips(40, likes=0), observed("ch-last", likes=9)]
    features, held = Counting(), []

    def write_data_set(folder: Path, clips: Iterator[object]) -> DataSet:
        for written, _ in enumerate(clips):
            held.append(features.read_clips - written)
        return DataSet(folder, ())

    monkeypatch.setattr("dancerank.labelling.export.write_data_set", write_data_set)
    export(tmp_path, rows, features=features)
    assert len(held) == 41
    assert max(held) <= 5


def test_skeletons_unlike_the_first_are_left_out_unless_all_are_converted(tmp_path: Path) -> None:
    rows = clips(8)
    poses = [pose(i, joint_layout="coco-17", joint_channels=2 + i % 2, dtype=np.float32) for i in range(6)]
    poses += [pose(i, dtype=np.float32) for i in range(6, 8)]
    values = [encode(upload(row.clip_id, made, challenge_id="ch")) for row, made in zip(rows, poses, strict=True)]
    as_uploaded = export(tmp_path / "a", rows, values, fewest_clips=2)
    assert ids(as_uploaded.data) == ["ch-00", "ch-02", "ch-04"]
    assert as_uploaded.left_out.counts == {Reason.OTHER_POSE: 5}
    assert not check_folder(tmp_path / "a").findings

    converted = export(tmp_path / "b", rows, values, features=reader(layout=LAYOUTS["mpii-16"]))
    assert ids(converted.data) == ids_of(rows)
    assert not check_folder(tmp_path / "b").findings
    for annotation in converted.data.annotations:
        made = poses[int(annotation.clip_id[-2:])]
        expected = made.frames[Modality.SKELETAL][..., :2]
        if made.joint_layout == "coco-17":
            expected = np.einsum("uv,tvc->tuc", CONVERSIONS["coco-17"], expected)
        np.testing.assert_allclose(
            converted.data.features(annotation).frames[Modality.SKELETAL], expected, rtol=1e-5, atol=1e-6
        )


def test_a_store_that_does_not_answer_ends_the_export_instead_of_emptying_it(tmp_path: Path) -> None:
    class Unreachable(FeatureStore):
        def read(self, uri: str, reserve: object) -> bytes:
            raise FeatureStoreUnavailable(f"{uri!r}: the store did not answer")

    unreachable = Unreachable(FeatureRoots(["file:///"]), max_bytes=1, patience_s=0.1, options={})
    values = [encode(upload(row.clip_id, FeatureFile("file:///x"), challenge_id="ch")) for row in clips(5)]
    with pytest.raises(FeatureStoreUnavailable):
        export(tmp_path / "data", clips(5), values, features=reader(unreachable))
    assert not (tmp_path / "data").exists()


def test_features_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    files = [FeatureFile((tmp_path / f"{i}.safetensors").as_uri()) for i in range(5)]
    values = [encode(upload(row.clip_id, file, challenge_id="ch")) for row, file in zip(clips(5), files, strict=True)]
    store = FeatureStore(FeatureRoots([tmp_path.as_uri()]), max_bytes=2**20, patience_s=0.1, options={})
    with pytest.raises(FeatureFileMissing):
        reader(store).read(files[0])
    with pytest.raises(DataSetError, match=r"5  features cannot be read\n +ch-00: .*0\.safetensors.*No such file"):
        export(tmp_path / "data", clips(5), values, features=reader(store))
    assert not (tmp_path / "data").exists()


def test_the_topic_is_not_read_if_no_clip_is_wanted_or_the_folder_holds_a_data_set(tmp_path: Path) -> None:
    def unread() -> Iterator[bytes | None]:
        raise AssertionError("the topic was read")
        yield None  # type: ignore[unreachable]

    with pytest.raises(DataSetError, match="nothing was observed"):
        export(tmp_path, [], unread())
    with pytest.raises(DataSetError, match="1  reactions counted too early"):
        export(tmp_path, [observed("a", days_online=0.2)], unread())
    (tmp_path / "clips.csv").write_text("mine")
    with pytest.raises(DataSetError, match="is there already"):
        export(tmp_path, clips(5), unread())
    assert (tmp_path / "clips.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong", [{"least_days": -1.0}, {"least_days": float("nan")}, {"least_days": float("inf")}, {"fewest_clips": 1}]
)
def test_choices_that_cannot_be_are_refused_and_named(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        export(tmp_path, clips(5), **wrong)


def test_progress_reaches_every_clip(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    rows = [*clips(7), *clips(3, "small")]
    export(tmp_path, rows, progress=lambda done, total: reported.append((done, total)))
    assert reported[-1] == (10, 10)
    assert reported == sorted(reported)


def test_the_features_of_a_video_come_from_the_extractor() -> None:
    made = video_upload("clip-1")
    row = observed("clip-1", "challenge-1")
    assert row.upload is not None
    with Uploads(annotations(row)) as found:
        found.take(encode(msgspec.structs.replace(made, uploaded_at_ms=row.upload.uploaded_at_ms)))
        source = found.features_of("clip-1")
    assert source == made.features
    store = FeatureStore(FeatureRoots([ROOT]), max_bytes=2**20, patience_s=0.1, options={})
    read = UploadedFeatures(store, max_bytes=2**20, extractor=memory()).read(source)
    assert set(read.frames) == {Modality.SKELETAL, Modality.SCENIC}
    with pytest.raises(ExtractorMissing, match=r"streamer\.extractor"):
        reader(store).read(source)


@pytest.mark.tried(
    kind="trust in features", given="a frozen pose among uploads to learn from", outcome="left out, and counted"
)
def test_a_clip_that_no_recording_gives_is_left_out(tmp_path: Path) -> None:
    rows = clips(6)
    frozen = ClipFeatures({Modality.SKELETAL: np.repeat(pose().frames[Modality.SKELETAL][:1], 75, axis=0)}, "mpii-16")
    values = [encode(upload(rows[0].clip_id, frozen, challenge_id="ch")), *uploaded(rows[1:])]
    exported = export(tmp_path, rows, values)
    assert ids(exported.data) == ids_of(rows[1:])
    assert exported.left_out.counts == {Reason.IMPLAUSIBLE: 1}
    assert "movement" in exported.left_out.lines()[1]
    assert not check_folder(tmp_path).findings
