"""What made-up features come to: refused, flagged as unlike the training clips, or scored, and what that wins them.

    python -m benchmarks.adversarial [--quick] [--checkpoint out/small.safetensors]

Each upload is made from a synthetic clip of a challenge and judged as the streamer and the pools do, with the bundle
that ships: rules of plausibility, distance from the training distribution, percentile among ``RIVALS`` clips,
nomination by the policy that ships. Joints also move along the gradient of the fused score (Eq. 7), which every bundle
answers: by at most ε of the body's size each, in one step and in ``ASCENT`` steps. Features without joints have a
gradient only in torch: with the checkpoint that ``make demo-bundle`` writes, all modalities move. Writes
``out/adversarial.json``.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.guided.scores import FUSED, Critic, Networks, every_joint
from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import shipped_bundle
from dancerank.synthetic import Plan, SyntheticClip, synthesize
from ranking.pools.nomination import nomination
from schemas.bundle import read_bundle
from schemas.descriptors import sample
from schemas.events import ClipScored, ClipUploaded, InlineFeatures, outside_training, training_distance
from schemas.features import ClipFeatures
from schemas.joints import mean_absolute_deviation
from schemas.modalities import PAPER_MODALITIES, Dimension, Modality
from schemas.plausibility import findings
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer

RIVALS: Final = 60
ATTACKERS: Final = 40
FRESH: Final = 2000
CHALLENGE: Final = "challenge-1"
GARBAGE_BAR: Final = 1.0
SEED: Final = 501
JOINT_STEPS: Final = (0.001, 0.003, 0.01, 0.03, 0.1)
"""How far each joint moves along the gradient, as shares of the body's size."""
UNSEEN: Final = 0.01
"""The largest of them that looks the same: about a pixel for a dancer 500 pixels tall."""
WON_BAR: Final = 0.1
"""By how much at most such a step should raise the share of clips that are nominated."""
ASCENT: Final = 10

WHICH: Final = {
    "all": PAPER_MODALITIES,
    "skeletal": (Modality.SKELETAL,),
    "holistic": (Modality.HOLISTIC,),
    "scenic": (Modality.SCENIC,),
}
"""In which modalities a clip is made up; the others stay its own."""

Frames = np.ndarray
Change = Callable[[Modality, Frames, np.random.Generator], Frames]


class Attack(NamedTuple):
    """``garbage``: what has to be refused or flagged, all of it."""

    name: str
    change: Change
    garbage: bool = True


def _noise(_: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    return rng.standard_normal(frames.shape)


def _matched_noise(_: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    """With the mean and the deviation of the clip, never below its least value."""
    return np.maximum(frames.mean() + frames.std() * rng.standard_normal(frames.shape), frames.min())


def _wandering(modality: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    """Steps that are small enough for every rule."""
    size = np.ptp(frames) if modality.has_joints else frames.std()
    return frames[:1] + 0.02 * size * rng.standard_normal(frames.shape).cumsum(axis=0)


def _slightest_noise(_: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    return frames[:1] + 0.003 * frames.std() * rng.standard_normal(frames.shape)


def _noisy_loop(_: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    return np.resize(frames[:10], frames.shape) + 1e-4 * frames.std() * rng.standard_normal(frames.shape)


def _noise_beside_the_sample(modality: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    """Noise that keeps the mean of each channel, only in the values that most descriptors do not look at."""
    if modality.has_joints:
        return frames
    deviation = frames.std(axis=0)
    made = np.maximum(frames.mean(axis=0) + 3 * deviation * rng.standard_normal(frames.shape), 0).astype(np.float32)
    sample(made)[0][...] = sample(frames)[0]
    return made


def _other_order(_: Modality, frames: Frames, rng: np.random.Generator) -> Frames:
    return frames[:, rng.permutation(frames.shape[1])]


ATTACKS: Final = (
    Attack("zeros", lambda _m, f, _r: np.zeros_like(f)),
    Attack("full of 3e38", lambda _m, f, _r: np.full_like(f, 3e38)),
    Attack("constant ones", lambda _m, f, _r: np.ones_like(f)),
    Attack("one frame for the clip", lambda _m, f, _r: f[:1]),
    Attack("one frame repeated", lambda _m, f, _r: np.repeat(f[:1], len(f), axis=0)),
    Attack("one frame with the slightest noise", _slightest_noise),
    Attack("ten frames looped", lambda _m, f, _r: np.resize(f[:10], f.shape)),
    Attack("ten frames looped, with the slightest noise", _noisy_loop),
    Attack("white noise", _noise),
    Attack("noise of the clip's mean and deviation", _matched_noise),
    Attack("wandering", _wandering),
    Attack("joints or channels in another order", _other_order),
    Attack("upside down", lambda _m, f, _r: -f),
    Attack("scaled by 1000", lambda _m, f, _r: 1000 * f),
    Attack("noise beside the sample", _noise_beside_the_sample, garbage=False),
    Attack("scaled by 1.2", lambda _m, f, _r: 1.2 * f, garbage=False),
    Attack("frames shuffled", lambda _m, f, r: r.permutation(f), garbage=False),
    Attack("played backwards", lambda _m, f, _r: f[::-1].copy(), garbage=False),
    Attack("half of the clip, twice", lambda _m, f, _r: np.resize(f[: len(f) // 2], f.shape), garbage=False),
    Attack("uploaded again under another id", lambda _m, f, _r: f, garbage=False),
)


class Outcome(NamedTuple):
    """Of one upload. ``rule``: what refused it. The others are of uploads that are neither refused nor flagged."""

    rule: str | None
    flagged: bool
    gain: float = 0.0
    percentile_gain: float = 0.0
    nominated: bool = False

    @property
    def stopped(self) -> bool:
        return self.rule is not None or self.flagged


class Judge:
    """The streamer, a challenge of ``RIVALS`` clips, and the policy."""

    def __init__(self, rivals: Sequence[SyntheticClip]) -> None:
        self._scorer = Scorer(OnnxRuntime(read_bundle(shipped_bundle())))
        self._policy = read_policy(shipped_policy())
        self._rivals = [self.score(clip, clip.features).scores() for clip in rivals]

    def score(self, clip: SyntheticClip, features: ClipFeatures) -> ClipScored:
        upload = ClipUploaded(
            clip_id=clip.clip_id,
            dancer_id=clip.dancer.dancer_id,
            challenge_id=CHALLENGE,
            uploaded_at_ms=0,
            duration_s=clip.duration_s,
            features=InlineFeatures(b"-"),
        )
        result = self._scorer.score([(upload, features)])[0]
        if not isinstance(result, ClipScored):
            raise result
        return result

    def percentiles(self, clip: ClipScored) -> dict[Dimension, float]:
        """Among the rivals and the clip itself, as the rankings count."""
        found = {}
        for dimension, score in clip.scores().items():
            others = [rival[dimension] for rival in self._rivals if dimension in rival]
            below, equal = sum(other < score for other in others), sum(other == score for other in others) + 1
            found[dimension] = 100 * (below + equal / 2) / (len(others) + 1)
        return found

    def outcome(self, clip: SyntheticClip, features: ClipFeatures) -> Outcome:
        """Of ``features`` in the place of the clip's own."""
        broken = next(findings(features, clip.duration_s), None)
        if broken is not None:
            return Outcome(str(broken.rule), False)
        before, after = self.score(clip, clip.features), self.score(clip, features)
        if outside_training(training_distance(after)):
            return Outcome(None, True)
        places, now = self.percentiles(before), self.percentiles(after)
        return Outcome(
            rule=None,
            flagged=False,
            gain=after.fused_score - before.fused_score,
            percentile_gain=now[Dimension.FUSED] - places[Dimension.FUSED],
            nominated=nomination(self._policy, now) is not None,
        )


def changed(clip: SyntheticClip, change: Change, modalities: Sequence[Modality], seed: int) -> ClipFeatures:
    """The clip's features with ``change`` in some modalities, as float32."""
    rng = np.random.default_rng(seed)
    frames = {
        m: change(m, each.astype(np.float32), rng).astype(np.float32) if m in modalities else each
        for m, each in clip.features.frames.items()
    }
    return ClipFeatures(frames, clip.features.joint_layout)


def attackers(count: int) -> list[SyntheticClip]:
    plan = Plan(shortest_s=12.0, longest_s=12.0)
    made: Iterator[SyntheticClip] = synthesize(8 * count, seed=SEED, plan=plan)
    return [clip for clip in made if clip.challenge_id == CHALLENGE][:count]


def along_gradient(checkpoint: Path, clips: Sequence[SyntheticClip], size: float) -> list[ClipFeatures]:
    """Every modality moved by ``size`` of its deviation along the sign of the gradient of the fused score (Goodfellow
    et al. 2015, Explaining and Harnessing Adversarial Examples), as whoever has the networks can; zeros stay zero.
    """
    import torch

    from networks.checkpoint import load_checkpoint
    from networks.datasets import collate

    model, _ = load_checkpoint(checkpoint)
    moved = []
    for clip in clips:
        batch = collate([(clip.features.frames, 0.0)], model.config.modalities)
        inputs = {m: (frames.requires_grad_(), lengths) for m, (frames, lengths) in batch.inputs.items()}
        model(inputs, batch.present).fused.sum().backward()
        frames = {}
        for modality, (tensor, _lengths) in inputs.items():
            own = clip.features.frames[modality].astype(np.float32)
            step = size * own.std() * np.sign(torch.nan_to_num(tensor.grad[0]).numpy())
            made = own + step
            if not modality.has_joints:  # zeros that a ReLU left, and signs, would give it away
                made = np.where(own == 0, own, np.where(np.sign(made) == np.sign(own), made, own))
            frames[modality] = made.astype(np.float32)
        moved.append(ClipFeatures(frames, clip.features.joint_layout))
    return moved


def joints_along_gradient(networks: Networks, clip: SyntheticClip, size: float, steps: int) -> ClipFeatures:
    """Each joint and frame moved by at most ``size`` of the body's size towards a higher fused score.

    In one step, by all of it along the gradient; in several, each by a quarter of it, from where the step before led
    and back into the distance (projected gradient ascent; Madry et al. 2018).
    """
    own = clip.features.frames[Modality.SKELETAL].astype(np.float64)
    most = size * mean_absolute_deviation(own, networks.layout)
    critic = Critic(networks, clip.features, FUSED)
    change = np.zeros_like(own)
    for _ in range(steps):
        change += (most if steps == 1 else most / 4) * every_joint(critic.gradient((own + change)[None])[0])
        length = np.linalg.norm(change, axis=-1, keepdims=True)
        change *= np.minimum(1, most / np.maximum(length, np.finfo(float).tiny))
    frames = {**clip.features.frames, Modality.SKELETAL: (own + change).astype(np.float32)}
    return ClipFeatures(frames, clip.features.joint_layout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the clips")
    parser.add_argument("--checkpoint", type=Path, default=Path("out/small.safetensors"))
    arguments = parser.parse_args()
    share = 4 if arguments.quick else 1
    rivals = [c for c in synthesize(8 * RIVALS, seed=SEED + 1) if c.challenge_id == CHALLENGE][:RIVALS]
    judge, clips = Judge(rivals), attackers(ATTACKERS // share)
    console, table = Console(), Table("upload", "modalities", "refused", "flagged", "score", "percentile", "nominated")
    figures: list[Measured] = []

    def report(name: str, which: str, outcomes: Sequence[Outcome], *, garbage: bool) -> float:
        """Into the table and the figures; returns the share of nominated clips."""
        through = [each for each in outcomes if not each.stopped]
        rules = sorted({each.rule for each in outcomes if each.rule})
        refused = np.mean([each.rule is not None for each in outcomes])
        gain = f"{np.mean([o.gain for o in through]):+.3f}" if through else "–"
        places = f"{np.mean([o.percentile_gain for o in through]):+.1f}" if through else "–"
        nominated = sum(each.nominated for each in through) / len(outcomes)
        table.add_row(
            *(name, which, f"{refused:.0%}" + (f" ({', '.join(rules)})" if rules else "")),
            *(f"{np.mean([each.flagged for each in outcomes]):.0%}", gain, places, f"{nominated:.0%}"),
        )
        stopped = float(np.mean([each.stopped for each in outcomes]))
        figures.append(
            Measured(f"{name}, {which}: refused or flagged", stopped, "share", GARBAGE_BAR if garbage else None)
        )
        figures.append(Measured(f"{name}, {which}: nominated", nominated, "share"))
        return nominated

    unchanged = [judge.outcome(clip, clip.features) for clip in clips]
    usual = report("the clips themselves", "all", unchanged, garbage=False)
    for attack in ATTACKS:
        for which, modalities in WHICH.items():
            made = [changed(clip, attack.change, modalities, seed) for seed, clip in enumerate(clips)]
            outcomes = [judge.outcome(clip, features) for clip, features in zip(clips, made, strict=True)]
            report(attack.name, which, outcomes, garbage=attack.garbage)
    networks = Networks(read_bundle(shipped_bundle()))
    for size in JOINT_STEPS:
        for steps in (1, ASCENT):
            made = [joints_along_gradient(networks, clip, size, steps) for clip in clips]
            outcomes = [judge.outcome(clip, features) for clip, features in zip(clips, made, strict=True)]
            name = f"joints along the gradient, ε {size:g}, {'one step' if steps == 1 else f'{steps} steps'}"
            won = report(name, "skeletal", outcomes, garbage=False) - usual
            bar = WON_BAR if size == UNSEEN else None
            figures.append(Measured(f"{name}: more nominated", won, "share", bar, lower_is_better=True))
            gains = [outcome.percentile_gain for outcome in outcomes if not outcome.stopped]
            figures.append(Measured(f"{name}: percentile", float(np.mean(gains)) if gains else 0.0, "points"))
    if arguments.checkpoint.exists():
        for size in (0.001, 0.01, 0.05, 0.2):
            made = along_gradient(arguments.checkpoint, clips, size)
            outcomes = [judge.outcome(clip, features) for clip, features in zip(clips, made, strict=True)]
            report(f"along the gradient, {size:g} deviations", "all", outcomes, garbage=False)
    else:
        console.print(f"no {arguments.checkpoint}: features without joints stay as they are; run make demo-bundle")
    fresh = [judge.score(clip, clip.features) for clip in synthesize(FRESH // share, seed=SEED + 2)]
    false = float(np.mean([outside_training(training_distance(clip)) for clip in fresh]))
    figures.append(Measured("fresh clips flagged", false, "share", 0.01, lower_is_better=True))
    console.print(table)
    console.print(f"{false:.2%} of {len(fresh)} fresh clips are flagged")
    bars = [each for each in figures if each.bar is not None]
    console.print(f"{sum(bool(each.met) for each in bars)} of {len(bars)} bars are met")
    console.print(write_figures("adversarial", figures, clips=len(clips), rivals=len(rivals)))


if __name__ == "__main__":
    main()
