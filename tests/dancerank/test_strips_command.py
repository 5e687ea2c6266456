"""``strips`` draws the ends of a ranking with the skeletons that the uploads' files hold."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from ranking.scores.store import ScoreStore
from schemas.events import FeatureFile
from schemas.features import ClipFeatures, encode_features
from schemas.joints import MPII_16
from schemas.modalities import Modality
from tests.dancerank.pictures.drawn import dancer, of_class, parsed, words
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, scored_clip


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DANCERANK_STREAMER__FEATURE_ROOTS", f'["{tmp_path.as_uri()}"]')
    kept = tmp_path / "kept.safetensors"
    frames = dancer(MPII_16, 100).astype(np.float32)
    kept.write_bytes(encode_features(ClipFeatures({Modality.SKELETAL: frames}, MPII_16.name)))
    with migrated("sqlite:///dancerank.db") as database:
        clips = [scored_clip("kept", fused_score=0.9, duration_s=4.0, features=FeatureFile(kept.as_uri()))]
        clips += [scored_clip("gone", features=FeatureFile((tmp_path / "gone").as_uri())), scored_clip("inline")]
        apply(ScoreStore(database), clips)


@pytest.mark.usefixtures("filled")
def test_the_ends_of_a_ranking_are_drawn_with_their_skeletons(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["strips", "ch", "--out", "ends.svg"])
    assert found.exit_code == 0, found.output
    root = parsed((tmp_path / "ends.svg").read_bytes())
    assert words(root, "clip")[0] == "kept"
    assert sorted(words(root, "clip")) == ["gone", "inline", "kept"]
    assert len(of_class(root, "bone")) == 10 * len(MPII_16.edges)
    assert words(root, "note").count("its skeleton was not kept") == 2


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["none", "--out", "x.png"], "challenge none"), (["ch", "--out", "x.pdf"], "must end in .png or .svg")],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    found = CliRunner().invoke(app, ["strips", *arguments])
    assert (found.exit_code, sentence in " ".join(found.output.split())) == (1, True), found.output
