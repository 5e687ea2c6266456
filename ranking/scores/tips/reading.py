"""Dance tips of one challenge, and of all."""

import sqlalchemy as sa

from ranking.database.tables import joint_sums
from ranking.scores.runs.places import is_challenge, place_of
from ranking.scores.tips.content import Sums, means_of_overall
from schemas.errors import GuidanceMissing
from schemas.events import GUIDANCE_BIN_S
from schemas.joints import LAYOUTS
from schemas.questions.tips import ChallengeTips, OverallTips, TipsAnswer

_REMEDY = (
    "score clips with a skeleton by a bundle that has gradient graphs, with streamer.guidance_share above 0; those "
    "scored before count once they are scored again"
)


def challenge_tips(
    connection: sa.Connection, generation: str, challenge_id: str, style: str | None = None
) -> ChallengeTips:
    """In the joint layout that most of its clips have; of all clips, or of those of a ``style``.

    Raises ``GuidanceMissing`` without any clip with guidance.
    """
    table, place = joint_sums.c, place_of(challenge_id, style)
    query = (
        sa.select(joint_sums)
        .where(table.generation == generation, table.challenge_id == place, table.clips > 0)
        .order_by(table.clips.desc(), table.joint_layout)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise GuidanceMissing(
            f"no clip of challenge {challenge_id}{_of_style(style)} has guidance under generation {generation}; "
            f"{_REMEDY}",
            field="challenge_id",
        )
    layout = LAYOUTS[row.joint_layout]
    sums = Sums.decoded(int(row.clips), row.overall, row.temporal)
    temporal, overall = sums.means()
    return ChallengeTips(
        challenge_id=challenge_id,
        generation=generation,
        clips=sums.clips,
        layout=layout.name,
        joints=list(layout.joints),
        bones=list(layout.edges),
        bin_s=GUIDANCE_BIN_S,
        clips_by_bin=sums.reach.tolist(),
        temporal=temporal,
        overall=overall,
        style=style,
    )


def _of_style(style: str | None) -> str:
    return "" if style is None else f" that shows the style {style}"


def all_tips(connection: sa.Connection, generation: str) -> TipsAnswer:
    """In the joint layout that most clips of the generation have. Raises ``GuidanceMissing`` if none has guidance."""
    table = joint_sums.c
    clips = sa.func.sum(table.clips)
    layouts = (
        sa.select(table.joint_layout)
        .where(table.generation == generation, is_challenge(table.challenge_id), table.clips > 0)
        .group_by(table.joint_layout)
        .order_by(clips.desc(), table.joint_layout)
        .limit(1)
    )
    name = connection.scalars(layouts).one_or_none()
    if name is None:
        raise GuidanceMissing(f"no clip has guidance under generation {generation}; {_REMEDY}", field="generation")
    query = (
        sa.select(table.challenge_id, table.clips, table.overall)
        .where(
            table.generation == generation,
            table.joint_layout == name,
            is_challenge(table.challenge_id),
            table.clips > 0,
        )
        .order_by(table.challenge_id)
    )
    layout = LAYOUTS[name]
    return TipsAnswer(
        generation=generation,
        layout=name,
        joints=list(layout.joints),
        bones=list(layout.edges),
        challenges=[
            OverallTips(row.challenge_id, int(row.clips), means_of_overall(int(row.clips), row.overall))
            for row in connection.execute(query)
        ],
    )
