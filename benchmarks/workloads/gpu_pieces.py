"""What ``benchmarks.gpu`` brings along to a bare machine: wheels and bundles, in pieces that can be carried."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 60_000_000
PYTHON: Final = "3.12"
_SEPARATOR: Final = ".piece-"


def prepare(folder: Path) -> None:
    """Write to ``folder`` the wheels of the package's dependencies and of ONNX Runtime for GPUs, for Python 3.12 on
    Linux, and a bundle of the paper's width; the CUDA libraries are those of the machine's torch."""
    import torch

    from exporters.onnx.export import export_bundle
    from networks.model_config import ViralityModelConfig
    from networks.virality_model import ViralityModel
    from schemas.modalities import PAPER_MODALITIES

    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (gpu,) = (each.replace("[cuda,cudnn]", "") for each in extras["gpu"] if each.startswith("onnxruntime"))
    wanted = [*project["dependencies"], *extras["embedded"], gpu]
    options = ["--python-version", PYTHON, "--only-binary=:all:", "--dest", str(wheels)]
    tags = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
    platforms = [f"--platform={tag}_x86_64" for tag in tags]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *platforms, *wanted], check=True)
    for wheel in sorted(wheels.glob("*.whl")):
        split(wheel)
    torch.manual_seed(0)
    model = ViralityModel(ViralityModelConfig(modalities=PAPER_MODALITIES)).eval()
    bundle = folder / "bundles" / "fast"
    export_bundle(model, bundle, training_data="none", metrics={}, overwrite=True)
    for graph in sorted(bundle.glob("*.onnx")):
        split(graph)


def install(folder: Path) -> Path:
    """Join what was split in ``folder`` and install the wheels beside them; returns where they are."""
    for first in sorted(folder.rglob(f"*{_SEPARATOR}000")):
        join(first)
    target = folder / "installed"
    wheels = sorted(str(path) for path in (folder / "wheels").glob("*.whl"))
    options = ["--no-index", "--no-deps", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *wheels], check=True)
    return target


def split(path: Path, size: int = PIECE_BYTES) -> None:
    """Replace a file that is larger than a piece by pieces of it."""
    if path.stat().st_size <= size:
        return
    with path.open("rb") as whole:
        for number, content in enumerate(iter(lambda: whole.read(size), b"")):
            path.with_name(f"{path.name}{_SEPARATOR}{number:03d}").write_bytes(content)
    path.unlink()


def join(first: Path) -> Path:
    """The file whose first piece is ``first``, beside its pieces."""
    path = first.with_name(first.name.removesuffix(f"{_SEPARATOR}000"))
    with path.open("wb") as whole:
        for piece in sorted(first.parent.glob(f"{path.name}{_SEPARATOR}*")):
            whole.write(piece.read_bytes())
    return path
