"""``train`` and ``evaluate`` on small data sets on disk, through the functions behind the command line."""

import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from dancerank.commands import learn
from dancerank.fitting import learning, training
from dancerank.fitting.learning import open_clips
from dancerank.fitting.recipe import read_recipe
from dancerank.fitting.training import export_checkpoint
from dancerank.synthetic.clips import EXTRACTOR
from networks.checkpoint import load_checkpoint
from networks.checkpoint_file import read_target
from networks.predictions import read_predictions
from networks.training.distribution import DISTRIBUTION_NOTE
from networks.training.errors import RunMismatch
from schemas.bundle import SYNTHETIC_CLIPS
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import Modality
from schemas.virality_target import FittedTarget, ReactionWeights, Target, TargetSettings
from tests.clips import trembling
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, rewrite_annotations, write_data_set
from vdv.splits import Fold, draw_folds, draw_split
from vdv.targets import fit_target, targets

app = typer.Typer()
app.command()(learn.train)
app.command()(learn.evaluate)

RECIPE = """
[network]
dropout = 0.1

[training]
learning_rate = 3e-3
modality_dropout = 0.1
"""


def on_progress(what: str, done: int, total: int) -> None: ...


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Two challenges of judged clips by ten dancers; the brightness of the scene determines the score."""
    generator = np.random.default_rng(0)
    clips = []
    for number in range(40):
        score = generator.random()
        frames = {Modality.SCENIC: generator.normal(0.3 + score, 0.3, (5, 512)).astype(np.float32)}
        if number % 4:
            frames[Modality.SKELETAL] = trembling(generator, 16)
        annotation = Annotation(
            clip_id=f"clip-{number}",
            dancer_id=f"dancer-{number % 10}",
            challenge_id="ab"[number % 2],
            duration_s=3.0,
            score=float(score),
        )
        layout = "mpii-16" if Modality.SKELETAL in frames else None
        clips.append(Clip(annotation, ClipFeatures(frames, joint_layout=layout)))
    written = write_data_set(tmp_path / "data", clips)
    return rewrite_annotations(written, draw_split(written.annotations, by_dancer=True))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(RECIPE)
    return path


def test_clips_that_nobody_danced_are_named_so(data: DataSet) -> None:
    assert open_clips(data, lambda *_: None).named("fold 0") == "data, fold 0"
    annotation = data.annotations[3]
    clip = data.features(annotation)
    clip.extractors[Modality.SCENIC] = EXTRACTOR
    data.path(annotation).write_bytes(encode_features(clip))
    assert open_clips(data, lambda *_: None).named("fold 0") == f"{SYNTHETIC_CLIPS}: data, fold 0"


def test_a_data_set_is_trained_on_evaluated_and_continued(data: DataSet, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ("train", data.folder, run, "--settings", recipe, "--width", 0.03, "--epochs", 6, "--seed", 1)
    result = invoke(*command, "--validation", 0.2)
    assert result.exit_code == 0, result.output
    held_out = {a.clip_id for a in data.annotations if a.split == "test"}
    predictions = read_predictions(run / "predictions.csv")
    assert set(predictions.clip_ids) == held_out
    model, notes = load_checkpoint(run / "model.safetensors")
    assert model.config.modalities == (Modality.SKELETAL, Modality.SCENIC)
    assert model.config.dropout == 0.1
    assert notes["training_data"].startswith("data, track all, split:")
    assert set(notes) - {DISTRIBUTION_NOTE} == {
        "training_data",
        "spearman_fused",
        "spearman_skeletal",
        "spearman_scenic",
        "validation",
    }
    assert msgspec.json.decode((run / "config.json").read_bytes())["data"]["validation_clips"] > 0

    state = (run / "last.ckpt").read_bytes()
    assert invoke(*command, "--validation", 0.2).exit_code == 0
    assert (run / "last.ckpt").read_bytes() == state
    other = invoke(*command, "--validation", 0.2, "--epochs", 7)
    assert isinstance(other.exception, RunMismatch)
    assert "training.epochs was 6, is 7" in str(other.exception)
    assert invoke(*command, "--epochs", 1, "--fresh").exit_code == 0

    out = tmp_path / "out.csv"
    result = invoke("evaluate", run / "model.safetensors", data.folder, "--out", out)
    assert result.exit_code == 0, result.output
    assert "trained on" not in result.output
    assert set(read_predictions(out).clip_ids) == held_out
    result = invoke("evaluate", run / "model.safetensors", data.folder, "--part", "all", "--track", "a")
    assert result.exit_code == 0, result.output
    learned = sum(a.split == "train" and a.challenge_id == "a" for a in data.annotations)
    assert f"{learned} of 20 clips are clips that this checkpoint was trained on" in result.output


def test_every_fold_is_trained_every_clip_held_out_once_and_a_checkpoint_exported(
    data: DataSet, recipe: Path, tmp_path: Path
) -> None:
    rewrite_annotations(data, draw_folds(data.annotations, 3, by_dancer=True))
    # A network that is traced in a tenth of the time of RTCN.
    recipe.write_text(RECIPE.replace("[network]", '[network]\nappearance_network = "segments"'))
    result = invoke(
        "train", data.folder, tmp_path / "run", "--settings", recipe, "--width", 0.03, "--epochs", 1,
        "--modalities", "scenic", "--track", "b",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    predictions = read_predictions(tmp_path / "run/predictions.csv")
    assert sorted(predictions.clip_ids) == sorted(a.clip_id for a in data.annotations if a.challenge_id == "b")
    assert set(predictions.folds) == {"fold 0", "fold 1", "fold 2"}
    assert all((tmp_path / f"run/fold-{number}/model.safetensors").exists() for number in range(3))
    assert "fold mean" in result.output
    manifest = export_checkpoint(tmp_path / "run/fold-1/model.safetensors", tmp_path / "bundle")
    assert manifest.training_data == "data, track b, fold 1: 12 clips"
    assert set(manifest.metrics) == {"spearman_fused", "spearman_scenic"}


@pytest.fixture
def reacted(data: DataSet) -> DataSet:
    """The same clips with counts, whose rate follows the score and whose views follow the dancer's followers."""
    counted = []
    for number, a in enumerate(data.annotations):
        followers = 10 ** (2 + number % 5)
        views = followers * (3 + number % 7)
        likes = round(views * (0.05 + 0.2 * (a.score or 0)))
        counts = {"likes": likes, "comments": 0, "reposts": 0, "days_online": 9.0}
        counted.append(msgspec.structs.replace(a, score=None, **counts, views=views, followers=followers))
    return rewrite_annotations(data, counted)


@pytest.mark.parametrize(("target", "parameters"), [
    (Target.PER_VIEW, ("mean_rate", "prior_views")), (Target.AUDIENCE_ADJUSTED, ("intercept", "slope"))
])  # fmt: skip
def test_a_target_is_fitted_to_training_clips_and_kept_with_run_checkpoint_and_bundle(
    reacted: DataSet,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Target,
    parameters: tuple[str, str],
) -> None:
    recipe.write_text(f'{RECIPE}\n[virality]\ntarget = "{target}"\nweights = {{ likes = 2.0 }}\n')
    run = tmp_path / "run"
    command = ("train", reacted.folder, run, "--settings", recipe, "--width", 0.03, "--epochs", 1,
               "--modalities", "scenic")  # fmt: skip
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert f"the target is {target}" in result.output
    learned = [a for a in reacted.annotations if a.split == "train"]
    asked = TargetSettings(target=target, weights=ReactionWeights(likes=2.0))
    fitted = fit_target(asked, learned)
    assert fitted != fit_target(asked, reacted.annotations)
    assert read_target(run / "model.safetensors") == fitted
    started = msgspec.json.decode((run / "config.json").read_bytes())["virality"]
    assert msgspec.convert(started, FittedTarget) == fitted
    assert msgspec.json.decode((run / "metrics.json").read_bytes())["target"] == target
    truth = targets(reacted.annotations, fitted).normalised
    expected = {a.clip_id: score for a, score in zip(reacted.annotations, truth, strict=True)}
    predictions = read_predictions(run / "predictions.csv")
    assert predictions.truth.tolist() == pytest.approx([expected[clip] for clip in predictions.clip_ids])

    asked_of: dict[str, Any] = {}
    monkeypatch.setattr(training, "export_bundle", lambda model, folder, **options: asked_of.update(options))
    training.export_checkpoint(run / "model.safetensors", tmp_path / "bundle")
    assert asked_of["target"] == fitted

    out = tmp_path / "out.csv"
    result = invoke("evaluate", run / "model.safetensors", reacted.folder, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"the target is {target} (likes × 2" in result.output
    assert all(name.replace("_", " ") in result.output for name in parameters)
    assert read_predictions(out).truth.tolist() == predictions.truth.tolist()

    other = invoke("evaluate", run / "model.safetensors", reacted.folder, "--target", "eq1")
    assert isinstance(other.exception, ConfigurationError)
    assert f"has learned the target {target}; its predictions say nothing about eq1" in str(other.exception)
    recipe.write_text(RECIPE)
    other = invoke(*command)
    assert isinstance(other.exception, RunMismatch)
    assert f"virality.target was '{target}', is 'eq1'" in str(other.exception)


def test_a_run_that_was_started_before_there_were_other_targets_is_continued_as_eq1(
    reacted: DataSet, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ("train", reacted.folder, run, "--settings", recipe, "--width", 0.03, "--epochs", 1,
               "--modalities", "scenic")  # fmt: skip
    assert invoke(*command).exit_code == 0
    started = msgspec.json.decode((run / "config.json").read_bytes())
    assert started.pop("virality")["target"] == "eq1"
    (run / "config.json").write_bytes(msgspec.json.encode(started))
    assert invoke(*command).exit_code == 0
    other = invoke(*command, "--target", "per-view")
    assert isinstance(other.exception, RunMismatch)
    assert "virality.target was 'eq1', is 'per-view'" in str(other.exception)


def test_a_target_without_its_columns_is_refused_before_anything_is_learned(
    data: DataSet, reacted: DataSet, tmp_path: Path
) -> None:
    rows = [msgspec.structs.replace(a, views=None if a.row == 5 else 0) for a in reacted.annotations]
    rewrite_annotations(reacted, rows)
    result = invoke("train", reacted.folder, tmp_path / "run", "--target", "per-view")
    assert isinstance(result.exception, DataSetError)
    assert "row 5, views: views is missing for the target per-view" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_validation_clips_are_training_clips_of_other_dancers(data: DataSet) -> None:
    clips = learning.open_clips(data, on_progress)
    (fold,) = learning.track_folds(data, "all")
    learned, chosen = learning._validation(clips, fold, 0.25, seed=0)
    assert sorted([*learned, *chosen]) == sorted(fold.train)
    dancers = [{data.annotations[row].dancer_id for row in rows} for rows in (learned, chosen)]
    assert chosen
    assert not dancers[0] & dancers[1]


def test_features_too_large_for_memory_are_read_when_needed(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    held = learning.open_clips(data, on_progress)
    monkeypatch.setattr(learning, "IN_MEMORY_BYTES", 0)
    lazy = learning.open_clips(data, on_progress)
    assert held.features is not None
    assert lazy.features is None
    rows = [3, 1, 38]
    first, second = held.samples(rows), lazy.samples(rows)
    assert first.fingerprint == second.fingerprint != held.samples([1, 3, 38]).fingerprint
    for (features, target), (others, its_target) in zip(first, second, strict=True):
        assert target == its_target
        assert features.keys() == others.keys()
        assert all(np.array_equal(frames, others[modality]) for modality, frames in features.items())


def test_a_loader_process_gets_no_features_and_reads_the_same_from_the_files(data: DataSet) -> None:
    held = learning.open_clips(data, on_progress).samples([3, 1, 38])
    received = pickle.loads(pickle.dumps(held))  # noqa: S301 - written here
    data.path(data.annotations[38]).unlink()
    for index in range(2):
        features, target = held[index]
        others, its_target = received[index]
        assert target == its_target
        assert features.keys() == others.keys()
        assert all(np.array_equal(frames, others[modality]) for modality, frames in features.items())
    with pytest.raises(DataSetError, match="clip-38"):
        received[2]


def test_data_that_cannot_be_learned_from_are_refused_before_training(data: DataSet, tmp_path: Path) -> None:
    recipe = read_recipe(None, network={}, training={})
    with pytest.raises(DataSetError, match="no challenge is called 'z'"):
        learning.train(data, tmp_path / "run", recipe, track="z", on_progress=on_progress)
    skeletal = read_recipe(None, network={"modalities": ["skeletal"]}, training={})
    with pytest.raises(DataSetError, match=r"row 2, features: .*clip-0\.safetensors has none of skeletal"):
        learning.train(data, tmp_path / "run", skeletal, on_progress=on_progress)
    data.path(data.annotations[5]).write_bytes(b"")
    with pytest.raises(DataSetError, match="row 7"):
        learning.train(data, tmp_path / "run", recipe, on_progress=on_progress)
    flat = [msgspec.structs.replace(a, score=1.0) for a in data.annotations]
    with pytest.raises(DataSetError, match="same target"):
        learning.train(rewrite_annotations(data, flat), tmp_path / "run", recipe, on_progress=on_progress)
    unsplit = [msgspec.structs.replace(a, split=None) for a in data.annotations]
    with pytest.raises(DataSetError, match="dancerank data split"):
        learning.train(rewrite_annotations(data, unsplit), tmp_path / "run", recipe, on_progress=on_progress)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "named"),
    [
        ({"modalities": ["facial", "scenic"]}, "no clip to learn from in split has facial"),
        ({"joint_layout": "coco-17"}, "are mpii-16 with 2 channels, the settings ask for coco-17 with 2"),
        ({"joint_channels": 3}, "are mpii-16 with 2 channels, the settings ask for mpii-16 with 3"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused(
    data: DataSet, tmp_path: Path, network: dict[str, object], named: str
) -> None:
    with pytest.raises(DataSetError, match=named):
        learning.train(data, tmp_path / "run", read_recipe(None, network=network, training={}), on_progress=on_progress)


def test_more_devices_than_there_can_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="devices is 100000; this machine has at most"):
        read_recipe(None, network={}, training={"devices": 100_000})


def test_a_run_folder_that_cannot_be_made_is_refused(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="file cannot be made"):
        learning.train(data, tmp_path / "file", read_recipe(None, network={}, training={}), on_progress=on_progress)


def test_a_model_that_is_no_run_is_not_deleted_unasked(data: DataSet, tmp_path: Path) -> None:
    model = tmp_path / "run" / "model.safetensors"
    model.parent.mkdir()
    model.write_text("of somebody else")
    with pytest.raises(ConfigurationError, match=r"no last\.ckpt to continue from; choose another folder"):
        learning.train(data, model.parent, read_recipe(None, network={}, training={}), on_progress=on_progress)
    assert model.read_text() == "of somebody else"


def test_validation_without_a_clip_to_spare_is_refused(data: DataSet, tmp_path: Path) -> None:
    rows = [msgspec.structs.replace(a, split="test") for a in data.annotations]
    rows[0], rows[1] = (msgspec.structs.replace(a, split="train") for a in rows[:2])
    clips = learning.Clips(DataSet(tmp_path, tuple(rows)), np.zeros(40), (), (), None, None, {}, False)
    with pytest.raises(DataSetError, match="none can be kept apart for validation"):
        learning._validation(clips, Fold("split", [0, 1], [*range(2, 40)]), 0.5, seed=0)


@pytest.mark.parametrize("out", [".", "absent/predictions.csv"])
def test_predictions_that_could_not_be_written_are_refused_first(tmp_path: Path, out: str) -> None:
    result = invoke("evaluate", "absent.safetensors", "absent", "--out", tmp_path / out)
    assert isinstance(result.exception, ConfigurationError)
    assert "--out" in result.exception.message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[trainning]\nepochs = 1", r"'trainning' is not a table.*\[training\]"),
        ("epochs = 1", r"'epochs' is not a table"),
        ("[training]\nepoch = 1", r"\[training\] has no key 'epoch'; allowed: epochs, batch_size"),
        ("[network]\nwidth = 1", r"\[network\] has no key 'width'; allowed: modalities"),
        ('[training]\nepochs = "many"', "training.epochs: 'many' is refused"),
        ('[network]\nmodalities = ["smell"]', "network.modalities"),
        ("[training]\nlearning_rate = -1.0", "learning_rate must be above zero"),
        ("[training", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_names_file_or_key_and_what_is_allowed(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "train.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"train.toml: .*{problem}"):
        read_recipe(path, network={}, training={})


def test_options_win_over_the_file(recipe: Path) -> None:
    read = read_recipe(recipe, network={"dropout": 0.3}, training={"learning_rate": None, "seed": 4})
    assert read.config({"graph_width": 0.5, "dropout": 0.2}).dropout == 0.3
    assert read.config({"graph_width": 0.5}).graph_width == 0.5
    assert read.settings().learning_rate == 3e-3
    assert read.settings().seed == 4


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_names_every_option(command: str) -> None:
    text = invoke(command, "--help").output
    assert "--track" in text
    assert "clips.csv" in text


@pytest.mark.tried(
    kind="two readers, two truths", given="a recipe with a byte-order mark", outcome="read as without it"
)
def test_a_recipe_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[training]\nepochs = 7\n", encoding="utf-8-sig")
    assert read_recipe(path, network={}, training={}).settings().epochs == 7
