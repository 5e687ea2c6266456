"""``tips`` lists the joints that move the score most, of each moment and of each challenge."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from ranking.scores.store import ScoreStore
from schemas.events import FeatureFile
from schemas.features import ClipFeatures, encode_features
from schemas.joints import MPII_16
from schemas.modalities import Modality
from tests.dancerank.pictures.drawn import dancer
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, guidance, scored_clip


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DANCERANK_STREAMER__FEATURE_ROOTS", f'["{tmp_path.as_uri()}"]')
    kept = tmp_path / "kept.safetensors"
    frames = dancer(MPII_16, 100).astype(np.float32)
    kept.write_bytes(encode_features(ClipFeatures({Modality.SKELETAL: frames}, MPII_16.name)))
    kicks = np.zeros((2, 16), "<f2")
    kicks[0, [4, 5]], kicks[1, 15] = (0.5, 1.0), 0.25
    with migrated("sqlite:///dancerank.db") as database:
        one = guidance(duration_s=0.8, scale=0.5, magnitudes=kicks.tobytes())
        clips = [scored_clip(f"c{n}", challenge_id="[b]kick", guidance=one) for n in range(2)]
        clips[1] = msgspec.structs.replace(clips[1], features=FeatureFile(kept.as_uri()), duration_s=4.0)
        apply(ScoreStore(database), [*clips, scored_clip("plain")])


@pytest.mark.usefixtures("filled")
def test_the_joints_that_count_most_are_listed_by_moment_and_over_the_whole() -> None:
    found = CliRunner().invoke(app, ["tips", "[b]kick", "--joints", "2"])
    assert found.exit_code == 0, found.output
    assert "[b]kick: what moves the score, over 2 clips" in found.output
    rows = [" ".join(line.split()) for line in found.output.splitlines()]
    assert any("0.0–0.5" in row and "left ankle 0.5, left knee 0.25" in row for row in rows)
    assert any("0.5–1.0" in row and "left wrist 0.125" in row for row in rows)
    assert any("all" in row and "left ankle 0.312, left knee 0.156" in row for row in rows)
    assert "score per mean absolute deviation" in found.output
    assert "of 2 clips only" in found.output


@pytest.mark.usefixtures("filled")
def test_without_a_challenge_all_that_have_guidance_are_listed() -> None:
    found = CliRunner().invoke(app, ["tips"])
    assert found.exit_code == 0, found.output
    assert "[b]kick" in found.output
    assert "left ankle 0.312, left knee 0.156, left wrist 0.0469" in found.output


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["ch"], "guidance_missing", "no clip of challenge ch has guidance under generation g1"),
        (["none"], "not_found", "challenge none has no clips under generation g1"),
        (["ch", "--generation", "g7"], "not_found", "no clip was scored under generation g7"),
    ],
)
def test_what_there_are_no_tips_of_is_said_in_a_sentence(arguments: list[str], code: str, sentence: str) -> None:
    found = CliRunner().invoke(app, ["tips", *arguments])
    assert found.exit_code == 1
    assert (code in found.output, sentence in " ".join(found.output.split())) == (True, True)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("challenge", [["[b]kick"], []])
def test_a_picture_is_written_beside_the_table(tmp_path: Path, challenge: list[str]) -> None:
    for name, head in (("tips.png", b"\x89PNG"), ("tips.SVG", b"<")):
        found = CliRunner().invoke(app, ["tips", *challenge, "--out", str(tmp_path / name)])
        assert found.exit_code == 0, found.output
        assert (tmp_path / name).read_bytes().startswith(head)
        assert "left ankle" in found.output
    drawn = (tmp_path / "tips.SVG").read_text()
    assert "[b]kick" in drawn
    assert ("poses of c1" in drawn) == bool(challenge)


@pytest.mark.usefixtures("filled")
def test_a_file_that_is_no_picture_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    for name, said in (("tips.pdf", "must end in .png or .svg"), ("none/tips.png", "not a file in an existing folder")):
        found = CliRunner().invoke(app, ["tips", "--out", str(tmp_path / name)])
        assert (found.exit_code, said in " ".join(found.output.split())) == (1, True), found.output
