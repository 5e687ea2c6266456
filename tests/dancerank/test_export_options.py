"""The options of ``export`` that contradict each other, and what ``inspect`` shows of streams in fewer bits."""

from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.commands.bundles import bundle_tables
from schemas.export_profiles import ExportProfile, Precision, Profile
from schemas.modalities import Modality
from tests.small_bundle import small_bundle


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--profile", "bf16"), "goes with --calibrate-on"),
        (("--profile", "fp16"), "goes with --calibrate-on"),
        (("--profile", "fast", "--calibrate-on", "data"), "goes with --calibrate-on"),
        (("--runtime", "openvino"), "fast is the same for every runtime"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anything_is_read(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = CliRunner().invoke(app, ["export", str(tmp_path / "none.safetensors"), str(tmp_path / "bundle"), *options])
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "bundle").exists()


def test_inspect_shows_precision_calibration_and_the_longest_clip(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, modalities=(Modality.HOLISTIC, Modality.SCENIC))
    holistic, scenic = bundle.manifest.streams
    streams = (holistic, msgspec.structs.replace(scenic, precision=Precision.BFLOAT16))
    profile = ExportProfile(Profile.BF16, calibration="dances: 240 clips", longest={Modality.SCENIC: 60})
    manifest = msgspec.structs.replace(bundle.manifest, streams=streams, profile=profile)
    console = Console(width=160)
    with console.capture() as shown:
        console.print(*bundle_tables(tmp_path, msgspec.structs.replace(bundle, manifest=manifest)))
    for row in (
        ("computed in bfloat16", "scenic"),
        ("calibrated on", "dances: 240 clips"),
        ("longest clip of scenic", "60 steps, 15 s"),
    ):
        assert any(all(part in line for part in row) for line in shown.get().splitlines())
