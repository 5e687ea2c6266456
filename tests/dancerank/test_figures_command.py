"""``figures`` on a small model and data set: which pictures are drawn, and of what."""

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from dancerank.answer_pictures.paper_figures import in_the_picture
from dancerank.commands.figures import figures
from dancerank.synthetic import Plan, synthesize
from networks.checkpoint import save_checkpoint
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.features import ClipFeatures
from schemas.joints import DANCE_23
from schemas.modalities import Modality
from vdv.folder import DataSet, write_data_set

SKELETAL, SCENIC = Modality.SKELETAL, Modality.SCENIC
app = typer.Typer()
app.command()(figures)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    plan = Plan(shortest_s=3.0, longest_s=3.0, modalities=(SKELETAL, SCENIC))
    clips = [clip.labelled() for clip in synthesize(24, seed=4, plan=plan)]
    return write_data_set(tmp_path_factory.mktemp("figures") / "data", clips)


def checkpoint(folder: Path, modalities: tuple[Modality, ...], **network: object) -> Path:
    config = ViralityModelConfig(
        modalities=modalities,
        graph_width=1 / 16,
        temporal_width=1 / 32,
        fusion_width=1 / 16,
        **network,  # type: ignore[arg-type]
    )
    path = folder / f"{'-'.join(modalities)}.safetensors"
    save_checkpoint(ViralityModel(config), path, {})
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


def test_a_model_of_joints_and_vectors_has_graphs_attention_and_the_ends_of_each_ranking(
    data: DataSet, tmp_path: Path
) -> None:
    model, rival = (
        checkpoint(tmp_path, (SKELETAL, SCENIC)),
        checkpoint(tmp_path, (SKELETAL,), skeletal_network="st-gcn"),
    )
    result = invoke(
        *(model, data.folder, "--out", tmp_path / "out", "--challenge", "challenge-3", "--format", "svg"),
        *("--beside", rival),
    )
    assert result.exit_code == 0, result.output
    written = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert set(written) == {"adjacency", "attention-scenic", "ends-skeletal", "ends-scenic", "ends-fused"}
    assert "PSGCN" in written["adjacency"]
    assert "ST-GCN<" in written["adjacency"]
    named = {annotation.clip_id for annotation in data.annotations if annotation.challenge_id == "challenge-3"}
    assert "challenge-3 by the fused score" in written["ends-fused"]
    assert all(clip_id in written["ends-fused"] for clip_id in named)
    assert sum(f">{clip_id}: what the centre" in written["attention-scenic"] for clip_id in named) == 1


def test_without_a_checkpoint_of_st_gcn_its_graphs_before_training_are_shown(data: DataSet, tmp_path: Path) -> None:
    result = invoke(checkpoint(tmp_path, (SKELETAL,)), data.folder, "--out", tmp_path / "out", "--format", "svg")
    assert result.exit_code == 0, result.output
    assert "ST-GCN, before training" in (tmp_path / "out" / "adjacency.svg").read_text()


def test_a_model_without_joints_has_no_graphs(data: DataSet, tmp_path: Path) -> None:
    result = invoke(checkpoint(tmp_path, (SCENIC,)), data.folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "attention-scenic.png",
        "ends-scenic.png",
        "ends-fused.png",
    }


def test_layouts_whose_y_points_up_are_turned_over_and_lose_their_depth() -> None:
    frames = np.random.default_rng(0).normal(size=(5, 23, 3)).astype(np.float32)
    found = in_the_picture(ClipFeatures({SKELETAL: frames}, DANCE_23.name))
    assert found is not None
    np.testing.assert_array_equal(found[1], frames[..., :2] * np.float32([1, -1]))
    assert in_the_picture(ClipFeatures({SCENIC: frames[:, 0]})) is None
