"""The rivals of a race run the same graphs: what they answer is what the streamer's scorer answers."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.pipeline import make_uploads
from benchmarks.rivals.kafka_loops import Model, answer
from dancerank.settings import shipped_bundle
from schemas.bundle import read_bundle
from schemas.codec import encode
from schemas.features import decode_features
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer


def test_a_rival_gives_the_scores_of_the_bundle_that_ships(tmp_path: Path) -> None:
    bundle, model = shipped_bundle(), Model(shipped_bundle())
    scorer = Scorer(OnnxRuntime(read_bundle(bundle)))
    for upload in make_uploads(tmp_path, 3):
        features = decode_features((tmp_path / "features" / f"{upload.clip_id}.safetensors").read_bytes())
        (expected,) = scorer.score([(upload, features)])
        found = msgspec.msgpack.decode(answer(model, encode(upload)))
        assert found["fused_score"] == pytest.approx(expected.fused_score, abs=1e-5)
        assert found["modalities"].keys() == {modality.value for modality in expected.modalities}
        for modality, result in expected.modalities.items():
            assert found["modalities"][modality.value]["score"] == pytest.approx(result.score, abs=1e-5)
            assert found["modalities"][modality.value]["attention"] == pytest.approx(result.attention, abs=1e-5)
