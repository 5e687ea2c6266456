"""The whole model: configuration, batches with missing modalities, checkpoints."""

import os

import msgspec
import numpy as np
import pytest
import torch

from networks.checkpoint import load_checkpoint, save_checkpoint, trained_on
from networks.datasets import Sample, collate
from networks.evaluation import predict
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.errors import CheckpointError, ConfigurationError
from schemas.modalities import FUSED_MODALITIES, Modality

SMALL = ViralityModelConfig(graph_width=1 / 16, temporal_width=1 / 64, fusion_width=1 / 8)


def model() -> ViralityModel:
    torch.manual_seed(0)
    return ViralityModel(SMALL).eval()


def mixed_samples() -> list[Sample]:
    """Every combination of modalities, with lengths from one step up."""
    generator = np.random.default_rng(0)
    samples: list[Sample] = []
    for combination in range(1, 16):
        features = {}
        for index, modality in enumerate(FUSED_MODALITIES):
            if combination >> index & 1:
                step = (16, 2) if modality.has_joints else (modality.channels,)
                length = int(generator.choice([1, 2, 3, 9, 40]))
                features[modality] = generator.random((length, *step)).astype(np.float32)
        samples.append((features, float(generator.random())))
    return samples


def test_a_clip_scores_the_same_alone_and_in_a_mixed_batch_whatever_modalities_it_lacks() -> None:
    network, samples = model(), mixed_samples()
    together = predict(network, samples, batch_size=len(samples))
    alone = predict(network, samples, batch_size=1)
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5


def test_absent_modalities_are_zero_in_scores_embeddings_and_attention() -> None:
    network, samples = model(), mixed_samples()
    output = predict(network, samples, batch_size=4)
    present = collate(samples, FUSED_MODALITIES).present
    for part in (output.scores, output.attention):
        assert torch.equal(part != 0, present)
    kept = present.repeat_interleave(torch.tensor(network.embedding_dims), dim=1)
    assert not output.embeddings[~kept].any()
    torch.testing.assert_close(output.attention.sum(1), torch.ones(len(samples)))


def test_rows_of_absent_modalities_do_not_reach_the_batch_statistics() -> None:
    statistics = []
    for filling in (0.0, 1e6):
        network = model().train()
        batch = collate(mixed_samples(), FUSED_MODALITIES)
        for index, modality in enumerate(FUSED_MODALITIES):
            batch.inputs[modality][0][~batch.present[:, index]] = filling
        torch.manual_seed(1)
        network(batch.inputs, batch.present)
        statistics.append([buffer.clone() for buffer in network.buffers()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*statistics, strict=True))


def test_a_model_may_have_some_modalities_only() -> None:
    config = msgspec.structs.replace(SMALL, modalities=(Modality.SKELETAL, Modality.SCENIC))
    output = predict(
        ViralityModel(config), [sample for sample in mixed_samples() if set(sample[0]) & set(config.modalities)]
    )
    assert output.scores.shape[1] == output.attention.shape[1] == 2
    assert list(ViralityModel(config).streams) == ["skeletal", "scenic"]


def test_half_precision_features_are_computed_in_single_precision() -> None:
    clip = np.random.default_rng(0).random((5, 512)).astype(np.float16)
    frames, lengths = collate([({Modality.SCENIC: clip}, 0.5)], FUSED_MODALITIES).inputs[Modality.SCENIC]
    assert frames.dtype == torch.float32
    assert lengths.tolist() == [5]
    np.testing.assert_array_equal(frames[0].numpy(), clip.astype(np.float32))


def test_a_configuration_survives_json() -> None:
    config = ViralityModelConfig(
        modalities=(Modality.SKELETAL,), joint_layout="dance-23", joint_channels=3, sampling="printed", dropout=0.1
    )
    assert msgspec.json.decode(msgspec.json.encode(config), type=ViralityModelConfig) == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", ()),
        ("modalities", (Modality.SCENIC, Modality.SKELETAL)),
        ("joint_layout", "smpl-24"),
        ("joint_channels", 4),
        ("graph_width", 0.0),
        ("dropout", 1.0),
        ("temporal_kernel", 4),
    ],
)
def test_an_impossible_configuration_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ViralityModelConfig(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_checkpoint_gives_back_the_same_model(tmp_path) -> None:
    network, samples = model(), mixed_samples()
    save_checkpoint(network, tmp_path / "model.safetensors", {"data": "made up"})
    loaded, notes = load_checkpoint(tmp_path / "model.safetensors")
    assert notes == {"data": "made up"}
    assert loaded.config == SMALL
    assert not loaded.training
    for ours, theirs in zip(predict(network, samples), predict(loaded, samples), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="a run in a folder, on a data set, whose names are Latin-1",
    outcome="its checkpoint is written and read",
)
def test_a_checkpoint_and_its_notes_may_name_folders_that_are_not_utf8(tmp_path) -> None:
    path = tmp_path / os.fsdecode(b"m\xf6del.safetensors")
    save_checkpoint(model(), path, {"data": os.fsdecode(b"/t\xe4nze: 3 clips")}, clip_ids=["a"])
    assert load_checkpoint(path)[1] == {"data": r"/t\udce4nze: 3 clips"}
    assert trained_on(path, ["a", "b"]) == ["a"]


def test_a_damaged_or_absent_checkpoint_is_named(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(path)
    save_checkpoint(model(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(path)
