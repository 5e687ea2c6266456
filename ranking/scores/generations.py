"""Which model generation is active, which were before, and which are retired: kept in the database.

The active generation answers every question that names no other one, and rates every clip of the traffic pools. The
choice is one row: a transaction that adds it switches all processes at once. The HTTP API calls the active generation
``in_force``.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import sqlalchemy as sa

from ranking.database.connection import Database, insert_into, lock_clips
from ranking.database.monitoring_tables import drift_samples
from ranking.database.round_trip import Step, rows_into, together
from ranking.database.tables import generation_choices, retired_generations, scored_clips
from ranking.scores.held import remove_scored
from ranking.scores.runs.writing import drop_runs
from ranking.scores.sketches import drop_sketches
from ranking.scores.tips.writing import drop_sums
from schemas.errors import GenerationRefused, NotFound
from schemas.questions.retrieval import GenerationState
from schemas.virality_target import target_of

_PART: Final = 10_000

ACTIVE: Final = sa.select(generation_choices.c.generation).order_by(generation_choices.c.number.desc()).limit(1)
"""The active generation; no row until the first clip was scored."""

CHOSEN: Final = sa.select(generation_choices.c.generation).distinct()
"""All that are or were active."""


def active_generation(connection: sa.Connection) -> str | None:
    """``None`` until the first clip was scored."""
    return connection.scalars(ACTIVE).one_or_none()


RETIRED: Final = sa.select(retired_generations.c.generation)
"""All that are no longer held."""


def retired(connection: sa.Connection) -> set[str]:
    return set(connection.scalars(RETIRED))


def activate_first(connection: sa.Connection, generation: str, at_ms: int) -> None:
    """Activate ``generation`` if none is active; the first transaction decides."""
    if active_generation(connection) is None:
        together(connection, [activating_first(connection.dialect.name, generation, at_ms)])


def activating_first(dialect: str, generation: str, at_ms: int) -> Step:
    """A step that activates ``generation`` if none is active."""
    row = {"number": 1, "generation": generation, "chosen_at_ms": at_ms}
    return Step(_first_choice(dialect), [row])


@lru_cache
def _first_choice(dialect: str) -> sa.Insert:
    return rows_into(dialect, generation_choices).on_conflict_do_nothing()


def clips_by_generation(connection: sa.Connection) -> dict[str, int]:
    """Clips scored under each generation, the one scored last first."""
    table = scored_clips.c
    newest = sa.func.max(table.scored_at_ms).desc()
    query = sa.select(table.generation, sa.func.count()).group_by(table.generation).order_by(newest, table.generation)
    return {generation: int(count) for generation, count in connection.execute(query)}


def generation_states(connection: sa.Connection) -> list[GenerationState]:
    """Every generation that has clips, was active or is retired: the active one first, then by latest activation."""
    choice = generation_choices.c
    current, gone, counts = active_generation(connection), retired(connection), clips_by_generation(connection)
    chosen = {
        row.generation: int(row.at_ms)
        for row in connection.execute(
            sa.select(choice.generation, sa.func.max(choice.chosen_at_ms).label("at_ms"))
            .group_by(choice.generation)
            .order_by(sa.func.max(choice.number).desc())
        )
    }
    return [
        GenerationState(name, counts.get(name, 0), name == current, chosen.get(name), name in gone, target_of(name))
        for name in dict.fromkeys([*chosen, *counts, *sorted(gone)])
    ]


class Generations:
    """Reads and changes the choice. Every method raises ``StoreUnavailable`` or ``StoreRefused`` if the
    database fails.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def active(self) -> str | None:
        with self._database.reading() as connection:
            return active_generation(connection)

    def retired(self) -> set[str]:
        with self._database.reading() as connection:
            return retired(connection)

    def scored_until(self) -> int:
        """When the active generation scored its last clip, by the streamer's clock; 0 without any."""
        with self._database.reading() as connection:
            of = scored_clips.c
            newest = sa.select(sa.func.max(of.scored_at_ms)).where(of.generation == active_generation(connection))
            return connection.scalars(newest).one() or 0

    def lacking(self, generation: str, until_ms: int | None = None) -> int:
        """Number of clips that the active generation scored, by ``until_ms`` if given, and ``generation`` has not."""
        clip, other = scored_clips.c, scored_clips.alias("other").c
        with self._database.reading() as connection:
            query = sa.select(sa.func.count()).where(
                clip.generation == active_generation(connection),
                sa.true() if until_ms is None else clip.scored_at_ms <= until_ms,
                ~sa.exists().where(other.generation == generation, other.clip_id == clip.clip_id),
            )
            return connection.scalars(query).one()

    def before(self) -> str:
        """The generation that was active before the present one and is not retired. Raises ``GenerationRefused``."""
        with self._database.reading() as connection:
            current, gone = active_generation(connection), retired(connection)
            choice = generation_choices.c
            for name in connection.scalars(sa.select(choice.generation).order_by(choice.number.desc())):
                if name != current and name not in gone:
                    return str(name)
        raise GenerationRefused(
            f"there is no way back: no generation that is still held was active before {current}"
            if current
            else "no generation is active yet: no clip has been scored"
        )

    def check(self, generation: str) -> None:
        """Raises ``NotFound`` if it has scored no clip, and ``GenerationRefused`` if it is retired."""
        with self._database.reading() as connection:
            _check(connection, generation)

    def activate(self, generation: str, at_ms: int) -> None:
        """Activate ``generation``, for all processes and from the next question on; raises as ``check``."""
        with self._database.writing() as connection:
            lock_clips(connection, alone=True)
            _check(connection, generation)
            if generation != active_generation(connection):
                last = connection.scalars(sa.select(sa.func.max(generation_choices.c.number))).one() or 0
                row = {"number": last + 1, "generation": generation, "chosen_at_ms": at_ms}
                connection.execute(sa.insert(generation_choices), row)

    def retire(self, generation: str, at_ms: int) -> Iterator[int]:
        """Never hold ``generation`` again, and drop its rows in parts; yields how many clips are left before each.

        Call it again after an interruption. Raises ``GenerationRefused`` if it is active.
        """
        of = scored_clips.c
        with self._database.writing() as connection:
            lock_clips(connection, alone=True)
            if generation == active_generation(connection):
                raise GenerationRefused(f"generation {generation} is active; activate another one first")
            row = {"generation": generation, "retired_at_ms": at_ms}
            connection.execute(insert_into(connection, retired_generations).on_conflict_do_nothing(), row)
            connection.execute(sa.delete(drift_samples).where(drift_samples.c.generation == generation))
            drop_runs(connection, generation)
            drop_sketches(connection, generation)
            drop_sums(connection, generation)
            left = connection.scalars(sa.select(sa.func.count()).where(of.generation == generation)).one()
        part = sa.select(of.clip_id).where(of.generation == generation).order_by(of.clip_id).limit(_PART)
        while left > 0:
            yield left
            with self._database.writing() as connection:
                lock_clips(connection, alone=False)  # deletions of clips lock the same rows in another order
                clip_ids = connection.scalars(part.with_for_update()).all()
                remove_scored(connection, generation, clip_ids)
            if not clip_ids:
                break  # the others were deleted meanwhile
            left -= len(clip_ids)
        yield 0


def _check(connection: sa.Connection, generation: str) -> None:
    if generation in retired(connection):
        raise GenerationRefused(f"generation {generation} is retired: what was held of it is gone")
    known = list(clips_by_generation(connection))
    if generation not in known:
        scored = ", ".join(known) or "none"
        raise NotFound(f"no clip was scored under generation {generation}; known are: {scored}", field="generation")
