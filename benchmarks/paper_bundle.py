"""A bundle at the paper's full width, untrained, for measuring speed: ``python -m benchmarks.paper_bundle [FOLDER]``.

Needs the ``[train]`` extra; the bundle takes 0.5 GB and some minutes.
"""

import sys
from pathlib import Path

import torch

from exporters.onnx.export import export_bundle
from networks.framework import Framework, FrameworkConfig

DEFAULT = Path("out/paper-bundle")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    torch.manual_seed(0)
    manifest = export_bundle(
        Framework(FrameworkConfig()).eval(), folder, training_data="none", metrics={}, overwrite=True
    )
    print(f"generation {manifest.generation} written to {folder}")


if __name__ == "__main__":
    main()
