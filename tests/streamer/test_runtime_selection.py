"""The setting ``streamer.runtime`` chooses what runs the networks."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.bundle import Bundle
from schemas.errors import BundleError, ConfigurationError, InferenceFailed
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.selection import open_runtime
from streamer.settings import StreamerSettings
from tests.small_bundle import small_bundle
from tests.streamer.reference_runtime import ReferenceRuntime
from tests.streaming import Log, quick_settings

REFERENCE = "tests.streamer.reference_runtime:ReferenceRuntime"


def test_the_default_is_onnx_runtime(bundle: Bundle) -> None:
    assert type(open_runtime(StreamerSettings().runtime, bundle)) is OnnxRuntime


def test_a_runtime_of_ones_own_is_named_by_module_and_factory(bundle: Bundle) -> None:
    assert StreamerSettings(runtime=REFERENCE).runtime == REFERENCE
    assert type(open_runtime(REFERENCE, bundle, providers=("numpy",))) is ReferenceRuntime


def test_a_runtime_that_another_distribution_installs_is_chosen_by_its_entry_point(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "slow_runtime-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-runtime\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[dancerank.runtimes]\nslow = {REFERENCE}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert type(open_runtime("slow", bundle, providers=("numpy",))) is ReferenceRuntime
    with pytest.raises(ConfigurationError, match="expected one of onnxruntime, openvino, slow, package"):
        open_runtime("fast", bundle)


@pytest.mark.parametrize("name", ["onnx", "", "tensorflow"])
def test_an_unknown_runtime_is_refused_with_the_allowed_ones(bundle: Bundle, name: str) -> None:
    allowed = "expected one of onnxruntime, openvino, package.module:factory"
    with pytest.raises(ValidationError, match=allowed):
        StreamerSettings(runtime=name)
    with pytest.raises(ConfigurationError, match=allowed) as caught:
        open_runtime(name, bundle)
    assert caught.value.field == "streamer.runtime"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_package.module:factory", "cannot be imported: No module named 'no_such_package'"),
        ("streamer.runtimes.onnx_runtime:Absent", "cannot be imported: .*Absent"),
        ("tests.streamer.test_runtime_selection:makes_a_dict", "makes a dict; expected a ModelRuntime"),
    ],
)
def test_a_factory_that_does_not_make_a_runtime_is_refused_with_the_setting(
    bundle: Bundle, name: str, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"streamer\.runtime is .*{says}") as caught:
        open_runtime(name, bundle)
    assert caught.value.field == "streamer.runtime"


def makes_a_dict(bundle: Bundle, **_: object) -> dict[str, object]:
    return {}


RUNS: list[object] = []


class Recording(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        RUNS.append((modality, frames.shape, lengths.tolist()))
        return super().run_stream(modality, frames, lengths)

    def run_fusion(self, embeddings, scores, present):  # type: ignore[no-untyped-def]
        RUNS.append((None, present.shape, present.all()))
        return super().run_fusion(embeddings, scores, present)


def test_every_graph_runs_once_before_the_first_clip(tmp_path: Path) -> None:
    RUNS.clear()
    open_runtime(f"{__name__}:Recording", small_bundle(tmp_path, modalities=(Modality.SKELETAL, Modality.SCENIC)))
    skeletal, scenic = (Modality.SKELETAL, (1, 1, 16, 2), [1]), (Modality.SCENIC, (1, 1, 512), [1])
    assert [skeletal, scenic, (None, (1, 2), True)] == RUNS


class WithoutMemory(OnnxRuntime):
    closed = 0

    def run_fusion(self, *_: object):  # type: ignore[no-untyped-def]
        raise InferenceFailed("no memory on the device")

    def close(self) -> None:
        WithoutMemory.closed += 1


def test_a_graph_that_loads_and_cannot_run_is_refused_at_the_start(bundle: Bundle) -> None:
    name = f"{__name__}:WithoutMemory"
    with pytest.raises(BundleError, match=f"the runtime {name} loads the bundle but cannot run it: no memory"):
        open_runtime(name, bundle)
    assert WithoutMemory.closed == 1


def test_only_a_chosen_runtime_is_imported() -> None:
    code = "import sys, streamer.assembly, streamer.scoring; assert 'onnxruntime' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Reports(Observer):
    def __init__(self) -> None:
        self.providers: dict[Modality | None, str] = {}

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        self.providers[modality] = provider


def test_a_streamer_reports_which_provider_runs_each_stream_and_the_fusion(bundle: Bundle) -> None:
    reports = Reports()
    Log().streamer(bundle, quick_settings(), observer=reports).close()
    assert reports.providers == dict.fromkeys((*FUSED_MODALITIES, None), "CPUExecutionProvider")
