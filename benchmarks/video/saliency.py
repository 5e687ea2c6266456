"""Where in a picture features and scores come from: Figure 5 of the dance-style paper, and how exact ``look`` is.

    python -m benchmarks.video.saliency [--quick] [--videos dancer pianist two-outdoors] [--at 3] [--every 1]

*Figure 5* (Bendit-Shtull et al. 2020): guided back-propagation through the network of pictures, the mean over its
features, for the frame ``--at`` seconds of each video: ``out/saliency/figure-5.png``. ``frame-features`` (MobileNetV2)
stands in for the paper's ResNet-18. *Concentration*: how much more salient a pixel of the dancer is than another one,
as a ratio of means; 1 where saliency does not depend on the dancer. Beside it that of the same network with random
weights, which shows what comes of the picture alone. ``--every`` takes each N-th feature only.

*look*: ``dancerank look`` hides a square of one frame and takes the change of its features for that of the second
around. Spearman's correlation, over the squares of a frame, with hiding the square in all frames of that second.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from benchmarks.figures import OUT, Measured, options_of, write_figures
from benchmarks.workloads.sample_clips import Clip, preloaded
from dancerank.settings import video_bundle
from dancerank.videos.explaining import steps_around
from dancerank.videos.saliency import FrameSaliency, squares_of, without
from extraction.decoding.cutting import cut
from extraction.decoding.video import DecoderLimits
from extraction.frames import FRAME_RATE_HZ, Frame
from extraction.models import open_model
from extraction.models.catalogue import CATALOGUE
from extraction.models.conversion.torch_tensors import read_tensors
from extraction.models.fetching import fetch as fetch_networks
from extraction.models.fetching import source_path
from extraction.models.folder import default_folder
from extraction.networks import Features
from extraction.people import open_people
from extraction.resizing import fitted
from extraction.sample_videos import VIDEOS, fetch, video_folder
from extraction.settings import ExtractionSettings
from networks.correlation import spearman
from networks.styles.pictures import draw_saliency
from networks.styles.saliency import guided_saliency
from schemas.bundle import read_bundle
from schemas.modalities import Modality
from streamer.runtimes.selection import open_runtime

FRAME_NETWORK: Final = "frame-features"
PEOPLE: Final = ("pose-detector", "pose-landmarks-lite")
SECONDS: Final = 5.0
BODY: Final = 0.5
SQUARES_APART: Final = 4
SAME: Final = 1e-3
"""Largest difference of a feature between torch and the network that is served, over the largest feature."""


class Moment(NamedTuple):
    """A frame and the video around it: ``image`` and ``body`` (H, W) as the network sees them, ``at`` its index."""

    clip: Clip
    frames: list[Frame]
    at: int
    image: npt.NDArray[np.uint8]
    body: npt.NDArray[np.bool_]


def main() -> None:
    arguments = parse()
    folder = default_folder()
    fetch_networks([FRAME_NETWORK, *PEOPLE], folder, on_progress=lambda *_: None, keep_sources=True)
    network = Features(open_model(FRAME_NETWORK, providers=("cpu",), threads=2))
    moments = {name: moment(name, arguments.at, network) for name in arguments.videos}
    torch.set_num_threads(2)
    figures = figure_5(moments, network, folder, arguments.every)
    figures += agreement(moments, network, SQUARES_APART if arguments.quick else 1)
    for each in figures:
        print(f"{each.name}: {each.value:.3g} {each.unit}")
    write_figures("saliency", figures, options=options_of(arguments))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each 40th feature, each fourth square")
    parser.add_argument("--videos", nargs="+", default=["dancer", "pianist", "two-outdoors"], choices=VIDEOS)
    parser.add_argument("--at", type=float, default=3.0, help="seconds, of each video")
    parser.add_argument("--every", type=int, default=1, help="take each N-th feature")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.every = 40
    return arguments


def moment(name: str, at_s: float, network: Features) -> Moment:
    """The frame at ``at_s`` of the first seconds of a video."""
    (source,) = fetch([name], video_folder())
    people = open_people(*(open_model(each, providers=("cpu",), threads=2) for each in PEOPLE))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        cut(source, path, length_s=max(SECONDS, at_s + 1))
        clip = preloaded(path, DecoderLimits.of(ExtractionSettings()), people)
    frames = [frame for batch in clip.batches for frame in batch]
    persons = [person for batch in clip.people for person in batch]
    at = min(round(at_s * FRAME_RATE_HZ), len(frames) - 1)
    person = persons[at]
    mask = np.zeros(frames[at].image.shape[:2], np.float32) if person is None else person.mask
    body = fitted(np.repeat((mask[..., None] * 255).astype(np.uint8), 3, axis=2), network.height, network.width)
    image = fitted(frames[at].image, network.height, network.width)
    return Moment(clip, frames, at, image, body[..., 0] > BODY * 255)


def figure_5(moments: dict[str, Moment], network: Features, folder: Path, every: int) -> list[Measured]:
    """Guided back-propagation, drawn, and how concentrated on the dancer it is."""
    recipe = CATALOGUE[FRAME_NETWORK]
    pictures = np.stack([each.image for each in moments.values()])
    mean, std = (np.array(each, np.float32) for each in (recipe.preparation.mean, recipe.preparation.std))
    images = torch.from_numpy((pictures.astype(np.float32) / 255 - mean) / std).permute(0, 3, 1, 2)
    trained = mobilenet(folder)
    served = network.of(list(pictures))
    with torch.no_grad():
        ours = trained.eval()(images).numpy()
    difference = float(np.abs(ours - served).max() / np.abs(served).max())
    assert difference < SAME, f"torch and the served network differ by {difference:.2g}"
    figures = []
    torch.manual_seed(0)
    for title, one in (("guided", trained), ("guided, random weights", mobilenet(None))):
        saliency = guided_saliency(Some(one, every), images).numpy()
        if one is trained:
            target = OUT / "saliency" / "figure-5.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            draw_saliency(pictures / 255, saliency, target)
            print(f"Figure 5: {target}")
        for (name, each), salient in zip(moments.items(), saliency, strict=True):
            if each.body.any():
                ratio = float(salient[each.body].mean() / salient[~each.body].mean())
                figures.append(Measured(f"concentration on the dancer, {title}, {name}", ratio, "ratio"))
    return figures


class Some(nn.Module):
    """Each N-th feature of a network."""

    def __init__(self, network: nn.Module, every: int) -> None:
        super().__init__()
        self.network, self.every = network, every

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images)
        return features[:, :: self.every]


def mobilenet(folder: Path | None) -> nn.Module:
    """torchvision's MobileNetV2 without its classifier; with the weights that the served network is made of."""
    network = mobilenet_v2(weights=None)
    network.classifier = nn.Identity()
    if folder is not None:
        tensors = read_tensors(source_path(folder, CATALOGUE[FRAME_NETWORK].sources[0]).read_bytes())
        own = network.state_dict()
        # The same layers in the same order, under other names.
        network.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in zip(own, tensors.values(), strict=True)}
        )
    return network


def agreement(moments: dict[str, Moment], network: Features, every: int) -> list[Measured]:
    """``look``'s importance of each N-th square, by one frame, with that by every frame of the second."""
    figures = []
    with_runtime = open_runtime("onnxruntime", read_bundle(video_bundle()), providers=("cpu",), threads=1)
    for name, each in moments.items():
        seen = [fitted(frame.image, network.height, network.width) for frame in each.frames]
        features = np.concatenate([network.of(seen[at : at + 16]) for at in range(0, len(seen), 16)])
        duration_s = len(seen) / FRAME_RATE_HZ
        saliency = FrameSaliency(with_runtime, network, {Modality.HOLISTIC: features}, duration_s)
        second = each.at / FRAME_RATE_HZ
        first, end = steps_around(len(seen), second, duration_s)
        squares = squares_of(network.height, network.width)[::every]
        all_frames = np.stack(
            [network.of([without(seen[at], square) for at in range(first, end)]) for square in squares]
        )
        changes = all_frames - features[first:end]
        one = saliency.importance(changes[:, each.at - first], second)
        whole = saliency.importance(changes, second)
        figures.append(Measured(f"look: one frame with all of the second, {name}", spearman(one, whole), "correlation"))
    with_runtime.close()
    return figures


if __name__ == "__main__":
    main()
