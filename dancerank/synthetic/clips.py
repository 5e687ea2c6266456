"""Synthetic dancers and clips: first everything that is decided about a clip, then its features."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from dancerank.synthetic.appearance import appearance
from dancerank.synthetic.plan import CHALLENGES, STANDARD, Plan, challenge_id
from dancerank.synthetic.popularity import Reactions, draw_luck, draw_reactions, expected_score
from dancerank.synthetic.poses import Causes, pose_sequence
from dancerank.synthetic.world import IDENTITY_WIDTH, MOVEMENT_STYLES, ROOMS, Float
from schemas.features import ClipFeatures, Frames
from schemas.joints import MPII_16
from schemas.modalities import PAPER_MODALITIES, Modality
from vdv.annotations import Annotation
from vdv.folder import Clip

SYNTHETIC: Final = "synthetic-"
EXTRACTOR: Final = f"{SYNTHETIC}2"

_CLIP_VARIATION: Final = 0.6
"""Share of a quality's standard deviation that is the clip's own, not the dancer's."""
_CLIPS_PER_DANCER: Final = 5
_STEP: Final = 0.05
"""Of a quality, in standard deviations, over which a difference of poses is taken."""


@dataclass(frozen=True)
class Dancer:
    """``skill`` by modality, standard normal; ``style`` and ``room`` index ``MOVEMENT_STYLES`` and ``ROOMS``."""

    dancer_id: str
    skill: dict[Modality, float]
    style: int
    room: int
    identity: Float


@dataclass(frozen=True)
class PlannedClip:
    """The truth about a clip, before it is filmed.

    ``quality`` is what was planted, also where features are missing; ``modalities`` are those with features.
    ``challenge`` is the index of the challenge, ``origin`` the seed, the number of clips and the clip's own number.
    """

    clip_id: str
    dancer: Dancer
    challenge: int
    duration_s: float
    modalities: tuple[Modality, ...]
    quality: dict[Modality, float]
    virality: float
    reactions: Reactions
    origin: tuple[int, int, int]

    @property
    def challenge_id(self) -> str:
        return challenge_id(self.challenge)

    @property
    def annotation(self) -> Annotation:
        """The clip's row in a data set's table, without planted values."""
        return Annotation(
            clip_id=self.clip_id,
            dancer_id=self.dancer.dancer_id,
            challenge_id=self.challenge_id,
            duration_s=self.duration_s,
            **self.reactions._asdict(),
        )


@dataclass(frozen=True)
class SyntheticClip(PlannedClip):
    """A clip and the truth about it."""

    features: ClipFeatures

    def labelled(self) -> Clip:
        """The clip as a data set takes it."""
        return Clip(self.annotation, self.features)


def synthesize(clips: int, *, seed: int, plan: Plan = STANDARD) -> Iterator[SyntheticClip]:
    """``clips`` clips, spread evenly over the challenges, in random order. Features are made one clip at a time.

    Reproducible: equal arguments give equal clips.
    """
    for planned in plan_clips(clips, seed=seed, plan=plan):
        yield film(planned, plan)


def plan_clips(clips: int, *, seed: int, plan: Plan = STANDARD) -> list[PlannedClip]:
    """All that is decided about the clips of ``synthesize``. What is planted does not depend on the nuisances."""
    rng = np.random.default_rng([seed, clips])
    people = [_dancer(index, seed, rng) for index in range(plan.dancers or max(2, clips // _CLIPS_PER_DANCER))]
    order = rng.permutation(clips)
    return [
        _planned((seed, clips, number), people[int(rng.integers(len(people)))], int(order[number]) % CHALLENGES, plan)
        for number in range(clips)
    ]


def film(clip: PlannedClip, plan: Plan) -> SyntheticClip:
    """The clip with its features. Each modality has random numbers of its own: leaving one out changes no other."""
    frames = {m: _frames(clip, m, plan) for m in clip.modalities}
    layout = MPII_16.name if Modality.SKELETAL in frames else None
    return SyntheticClip(**vars(clip), features=ClipFeatures(frames, layout, dict.fromkeys(frames, EXTRACTOR)))


def planted_direction(clip: PlannedClip, plan: Plan, causes: Collection[str] = Causes._fields) -> Float:
    """(T, V, 2): how the joints of ``clip`` move, in pixels per standard deviation, as the quality of movement grows.

    It is the central difference between the clip as a slightly better and a slightly worse dancer would dance it, with
    the same camera, tempo, tremor and drift; of ``causes`` alone (fields of ``Causes``), while the others stay.
    """
    quality = clip.quality[Modality.SKELETAL]

    def danced(by: float) -> Float:
        changed = Causes(*(quality + by * (cause in causes) for cause in Causes._fields))
        rng = _generator(clip.origin, Modality.SKELETAL)
        return pose_sequence(clip.challenge, clip.dancer.style, changed, clip.duration_s, plan, rng).astype(np.float64)

    return (danced(_STEP) - danced(-_STEP)) / (2 * _STEP)


def _dancer(index: int, seed: int, rng: np.random.Generator) -> Dancer:
    return Dancer(
        dancer_id=f"dancer-{seed}-{index:04d}",
        skill={m: float(rng.normal()) for m in PAPER_MODALITIES},
        style=int(rng.integers(len(MOVEMENT_STYLES))),
        room=int(rng.integers(len(ROOMS))),
        identity=rng.normal(size=IDENTITY_WIDTH),
    )


def _planned(origin: tuple[int, int, int], dancer: Dancer, challenge: int, plan: Plan) -> PlannedClip:
    rng = _generator(origin, "plan")
    has_face = bool(rng.random() >= plan.missing_face_share)
    duration_s = plan.shortest_s + (plan.longest_s - plan.shortest_s) * float(rng.random())
    spread = np.sqrt(1 - _CLIP_VARIATION**2)
    quality = {m: float(spread * dancer.skill[m] + _CLIP_VARIATION * rng.normal()) for m in PAPER_MODALITIES}
    weighted = sum(weight * quality[m] for weight, m in zip(plan.importance[challenge], PAPER_MODALITIES, strict=True))
    virality = float(weighted + plan.virality_noise * rng.normal())
    luck = draw_luck(plan, _generator(origin, "luck"))
    seed, _, number = origin
    return PlannedClip(
        clip_id=f"clip-{seed}-{number:05d}",
        dancer=dancer,
        challenge=challenge,
        duration_s=duration_s,
        modalities=tuple(
            m for m in PAPER_MODALITIES if m in plan.modalities and (has_face or m is not Modality.FACIAL)
        ),
        quality=quality,
        virality=virality,
        reactions=draw_reactions(expected_score(virality, challenge, plan) + luck, rng),
        origin=origin,
    )


def _frames(clip: PlannedClip, modality: Modality, plan: Plan) -> Frames:
    rng, dancer, quality = _generator(clip.origin, modality), clip.dancer, clip.quality[modality]
    if modality.has_joints:
        causes = Causes(quality, quality, quality)
        return pose_sequence(clip.challenge, dancer.style, causes, clip.duration_s, plan, rng)
    return appearance(modality, clip.challenge, dancer.room, dancer.identity, quality, clip.duration_s, plan, rng)


def _generator(origin: tuple[int, int, int], purpose: str) -> np.random.Generator:
    """Random numbers of one clip for one purpose."""
    number = 1 + ("plan", *PAPER_MODALITIES, "luck").index(purpose)  # a zero at the end of a seed would change nothing
    return np.random.default_rng([*origin, number])
