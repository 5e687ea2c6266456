"""An untrained bundle, by default at the paper's full width: for measuring speed, and to see what training adds.

    python -m benchmarks.workloads.paper_bundle [--small] [FOLDER]

Needs the ``[train]`` extra; the full width takes 0.5 GB and some minutes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dancerank.fitting.training import SMALL
from exporters.onnx.export import export_bundle
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.export_profiles import Profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("out/paper-bundle"))
    parser.add_argument("--small", action="store_true", help="the size of the bundle that ships")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = ViralityModel(SMALL if arguments.small else ViralityModelConfig()).eval()
    manifest = export_bundle(model, arguments.folder, training_data="none", metrics={}, overwrite=True)
    print(f"generation {manifest.generation} written to {arguments.folder}")


def write_paper_bundles(folder: Path, profiles: Sequence[str]) -> dict[str, Path]:
    """``paper-PROFILE`` in ``folder`` at the full width, for each profile; those that are there are kept."""
    written = {profile: folder / f"paper-{profile}" for profile in profiles}
    for profile, path in written.items():
        if not (path / "bundle.json").exists():
            torch.manual_seed(0)
            model = ViralityModel(ViralityModelConfig()).eval()
            export_bundle(model, path, training_data="none", metrics={}, overwrite=True, profile=Profile(profile))
    return written


if __name__ == "__main__":
    main()
