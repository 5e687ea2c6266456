"""The methods of the paper's tables."""

import msgspec
import pytest

from networks.baselines.pooled import PooledSVR
from networks.baselines.pose_dct import PoseDCT
from networks.errors import UnusableSamples
from networks.methods import METHODS, TABLES
from networks.model_config import ViralityModelConfig
from networks.training import TrainingSettings
from networks.virality_model import ViralityModel
from schemas.modalities import FUSED_MODALITIES, Modality

NARROW = {"graph_width": 1 / 32, "temporal_width": 1 / 64, "fusion_width": 1 / 16}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_built(name: str) -> None:
    method = METHODS[name]
    streams = method.streams(FUSED_MODALITIES)
    config = ViralityModelConfig(**{**NARROW, **method.network, "modalities": streams})
    TrainingSettings(**method.training)
    if method.regressor is None:
        assert set(ViralityModel(config).streams) == set(streams)
    else:
        assert isinstance(method.regressor(config), PoseDCT | PooledSVR)


def test_names_and_labels_are_of_one_method_each() -> None:
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    assert {name for table in TABLES.values() for section in table.sections for name in section} == set(METHODS)


def test_table_3_has_the_rows_of_the_paper() -> None:
    labels = [[METHODS[name].label for name in section] for section in TABLES["3"].sections]
    assert labels == [
        ["Pose+DCT", "ST-GCN", "DMGNN", "PSGCN"],
        [
            "Pooled features+SVR", "S3D", "Spatial Attn.", "USDL", "LSTM", "TCN", "RTCN (holistic)",
            "RTCN (holistic+facial)", "RTCN (holistic+scenic)", "RTCN (holistic+facial+scenic)",
        ],
        ["Integrated"],
    ]  # fmt: skip


def test_table_4_needs_no_more_than_movement_and_appearance() -> None:
    needed = {m for section in TABLES["4"].sections for name in section for m in METHODS[name].modalities}
    assert needed == {Modality.SKELETAL, Modality.HOLISTIC}


@pytest.mark.parametrize("name", [name for section in TABLES["5"].sections for name in section[1:]])
def test_an_ablation_differs_from_the_whole_in_one_thing(name: str) -> None:
    whole = next(section[0] for section in TABLES["5"].sections if name in section)
    differences = 0
    for kind, part in ((ViralityModelConfig, "network"), (TrainingSettings, "training")):
        given = [dict(getattr(METHODS[method], part)) for method in (name, whole)]
        if part == "network":
            given = [{**g, "modalities": METHODS[m].modalities} for g, m in zip(given, (name, whole), strict=True)]
        ours, theirs = (msgspec.to_builtins(kind(**values)) for values in given)
        differences += sum(ours[key] != theirs[key] for key in ours)
    assert differences == 1


def test_the_readings_of_eq_6_differ_in_nothing_else() -> None:
    bounded, printed = (METHODS[name] for name in TABLES["eq6"].sections[0])
    assert (bounded.network, printed.network) == ({"sampling": "bounded"}, {"sampling": "printed"})
    assert bounded.modalities == printed.modalities


def test_a_method_refuses_data_without_its_features() -> None:
    with pytest.raises(UnusableSamples, match="no holistic and no facial"):
        METHODS["rtcn-holistic-facial"].streams([Modality.SKELETAL])
    with pytest.raises(UnusableSamples, match="no facial features to leave out"):
        METHODS["no-facial"].streams([Modality.SKELETAL, Modality.HOLISTIC])


def test_the_integrated_model_takes_what_there_is_if_there_are_two() -> None:
    there = (Modality.SKELETAL, Modality.SCENIC)
    assert METHODS["integrated"].streams(there) == there
    assert METHODS["no-scenic"].streams(there) == (Modality.SKELETAL,)
    with pytest.raises(UnusableSamples, match="needs 2"):
        METHODS["integrated"].streams([Modality.SCENIC])
