"""Installed packages that add a modality, as a folder for ``PYTHONPATH``."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def install(folder: Path, name: str, columns: str) -> None:
    """Put into ``folder`` what pip would install of a package with the modality ``name``."""
    (folder / f"{name}_modality.py").write_text(f"COLUMNS = {columns}\n")
    info = folder / f"{name}_modality-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-modality\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dancerank.modalities]\n{name} = {name}_modality:COLUMNS\n")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages of ``folder`` installed."""
    path = os.pathsep.join((str(PROJECT), str(folder)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )
