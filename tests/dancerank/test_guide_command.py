"""``dancerank guide``: a feature file, a clip by its id, pictures, and what is refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.settings import video_bundle
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from schemas.events import FeatureFile
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import Modality
from tests.ranking.examples import apply, scored_clip

ODD = "'<b>💃[bold]رقص"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("guide"), np.random.default_rng(0)
    pose = draw.normal(400, 120, (16, 2)) + draw.normal(0, 6, (100, 16, 2)).cumsum(axis=0)
    scenic = draw.normal(0.2, 0.5, (16, 512)).clip(min=0).astype(np.float32)
    whole = {Modality.SKELETAL: pose.astype(np.float32), Modality.SCENIC: scenic}
    (folder / "clip.safetensors").write_bytes(encode_features(ClipFeatures(whole, "mpii-16")))
    (folder / "room.safetensors").write_bytes(encode_features(ClipFeatures({Modality.SCENIC: scenic})))
    database = Database(f"sqlite:///{folder / 'ranking.db'}")
    database.migrate()
    uri = (folder / "clip.safetensors").as_uri()
    apply(ScoreStore(database), [scored_clip(ODD, duration_s=4.0, features=FeatureFile(uri)), scored_clip("inline")])
    database.close()
    (folder / "settings.toml").write_text(
        f'bundle = "{video_bundle()}"\n[ranking]\ndatabase_url = "sqlite:///{folder / "ranking.db"}"\n'
        f'[streamer]\nfeature_roots = ["{folder.as_uri()}"]\ninference_threads = 1\nproviders = ["cpu"]\n'
    )
    return folder


def guide(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["guide", *arguments, "--config", str(folder / "settings.toml")], env={"COLUMNS": "160"}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_feature_file_has_its_critical_frames_in_a_table(folder: Path) -> None:
    code, said = guide(folder, str(folder / "clip.safetensors"), "--critical", "2", "--apart", "1")
    assert code == 0
    rows = [line for line in said.splitlines() if line.startswith("│")]
    assert len(rows) == 2
    assert all(any(verb in row for verb in ("raise", "lower", "move")) for row in rows)
    assert "trained on synthetic" in said


@pytest.mark.parametrize("name", ["moments.svg", "moments.png", "moving.webp"])
def test_a_clip_is_found_by_its_id_and_drawn_to_a_file(folder: Path, name: str) -> None:
    out = folder / name
    code, said = guide(folder, ODD, "--of", "fused", "--out", str(out))
    assert code == 0, said
    assert ODD in said
    start = {"svg": b"<", "png": b"\x89PNG", "webp": b"RIFF"}[out.suffix[1:]]
    assert out.read_bytes().startswith(start)
    if out.suffix == ".svg":
        assert b"<b>" not in out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere/clip.safetensors",), "there is no such file"),
        (("nobody",), "clip nobody is not known"),
        (("inline",), "came with its upload"),
        (("ROOM",), "joints of a skeleton"),
        ((ODD, "--out", "moments.bmp"), "must end in .png"),
        ((ODD, "--of", "facial"), "facial"),
    ],
)
def test_what_cannot_be_guided_is_refused_in_a_sentence(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    named = [str(folder / "room.safetensors") if each == "ROOM" else each for each in arguments]
    code, said = guide(folder, *named)
    assert code != 0
    assert words in " ".join(said.split())
