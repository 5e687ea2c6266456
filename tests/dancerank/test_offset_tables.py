"""What is printed about positions, and in which order they are set; Kafka and the database are fakes."""

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.commands import offsets
from dancerank.commands.tables.offsets import Standing, Workers, meaning, reset_table, standing_table
from ranking.database.connection import Database
from schemas.ports import TopicPartition
from transport.group_offsets import GroupBusy, Member, PartitionEnds

SECRET = "sesame-2f7"


def at(partition: int, topic: str = "clips.scored") -> TopicPartition:
    return TopicPartition(topic, partition)


def standing(
    ends: Mapping[TopicPartition, PartitionEnds],
    positions: Mapping[TopicPartition, int],
    view: str | None = None,
    members: Iterable[Member] = (),
) -> Standing:
    return Standing(Workers.RANKING, "rankers", view, "sqlite:///view.db", ends, positions, list(members))


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def test_lag_counts_what_is_kept_and_not_yet_read_and_nothing_below_zero() -> None:
    ends = {
        at(0): PartitionEnds(5, 10),  # its position is no longer kept
        at(1): PartitionEnds(0, 10),
        at(2): PartitionEnds(0, 10),  # beyond the end: the log was deleted and created again
        at(3): PartitionEnds(4, 7),  # no position yet
    }
    output = shown(standing_table(standing(ends, {at(0): 2, at(1): 9, at(2): 14})))
    for row in (
        "clips.scored │ 0 │ 5 │ 2 │ 10 │ 5 │ –",
        "clips.scored │ 1 │ 0 │ 9 │ 10 │ 1 │ –",
        "clips.scored │ 2 │ 0 │ 14 │ 10 │ 0 │ –",
        "clips.scored │ 3 │ 4 │ – │ 7 │ 3 │ –",
    ):
        assert row in output
    assert "lag in all: 9" in output


def test_who_reads_a_partition_stands_beside_it_and_names_are_shown_as_they_are() -> None:
    reader = Member(id="[red]m-1", instance=None, host="/10.0.0.1", partitions=(at(1, "[bold]clips"),))
    ends = {at(0, "[bold]clips"): PartitionEnds(0, 0), at(1, "[bold]clips"): PartitionEnds(0, 0)}
    there = standing(ends, {}, members=[reader])._replace(group="[blue]rankers")
    output = shown(standing_table(there))
    assert "group [blue]rankers, 1 member;" in output
    assert "[bold]clips │ 0 │ 0 │ – │ 0 │ 0 │ – │" in output
    assert "[bold]clips │ 1 │ 0 │ – │ 0 │ 0 │ [red]m-1 on 10.0.0.1" in output
    assert "group [blue]rankers" in shown(reset_table(there, {at(0, "[bold]clips"): 0}))


@pytest.mark.parametrize(("view", "marks"), [("scores", True), (None, False)])
def test_the_table_says_where_positions_are_kept_and_that_markers_count(view: str | None, marks: bool) -> None:
    output = shown(standing_table(standing({at(0): PartitionEnds(0, 1)}, {}, view)))
    assert ("in the database, as view scores" in output) is marks
    assert ("in Kafka" in output) is not marks
    assert ("may be a transaction marker" in output) is marks


def test_what_will_be_read_again_and_what_never_are_counted_apart() -> None:
    ends = {at(number): PartitionEnds(0, 1_000_000) for number in range(3)}
    there = standing(ends, {at(0): 5_000, at(1): 10, at(2): 7})
    output = meaning(there, {at(0): 0, at(1): 2_010, at(2): 7})
    assert "Up to 5,000 uploads are scored again" in output
    assert "Up to 2,000 records are passed over" in output
    again = meaning(there._replace(view="scores"), {at(0): 0})
    assert "Up to 5,000 records are applied again, which changes nothing" in again
    assert "passed over" not in again
    assert "again" not in meaning(there, {at(1): 20})
    assert "+2,000" in shown(reset_table(there, {at(1): 2_010}))
    assert "-5,000" in shown(reset_table(there, {at(0): 0}))


class World:
    """Two topics with records, a database with positions, and what was asked of them, in order."""

    def __init__(self, folder: Path) -> None:
        self.done: list[object] = []
        self.busy_from = 99
        self.checks = 0
        self.config = folder / "dancerank.toml"
        self.config.write_text(f"""
            [kafka]
            streamer_group = "streamers"
            ranking_group = "rankers"
            pools_group = "poolers"
            [ranking]
            database_url = "postgresql://ranker:{SECRET}@db/clips"
        """)

    def run(self, *arguments: str, answer: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["offsets", *arguments, "--config", str(self.config)], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    def reset(self, group: str, *arguments: str, answer: str | None = None) -> tuple[int, str]:
        return self.run("reset", "--group", group, "--to", "earliest", *arguments, answer=answer)

    def partition_ends(self, _: object, topics: Iterable[str]) -> dict[TopicPartition, PartitionEnds]:
        return {at(0, topic): PartitionEnds(0, 8) for topic in topics}

    def members_of(self, _: object, group: str) -> list[Member]:
        self.done.append(("members", group))
        return []

    def check_empty(self, _: object, group: str) -> None:
        self.done.append(("check", group))
        self.checks += 1
        if self.checks >= self.busy_from:
            raise GroupBusy(f"group {group} has 1 live member")

    def committed_offsets(self, _: object, group: str) -> dict[TopicPartition, int]:
        self.done.append(("committed", group))
        return {}

    def set_offsets(self, _: object, group: str, positions: Mapping[TopicPartition, int]) -> None:
        self.done.append(("kafka", group, dict(positions)))

    def opened(self, _: str) -> "World":
        return self

    def of(self, _: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 3)

    def set(self, view: str, positions: Mapping[TopicPartition, int]) -> None:
        self.done.append(("view", view, dict(positions)))

    def close(self) -> None: ...

    def was_set(self) -> list[object]:
        return [step for step in self.done if isinstance(step, tuple) and step[0] in ("kafka", "view")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    for name in ("partition_ends", "members_of", "check_empty", "committed_offsets", "set_offsets"):
        monkeypatch.setattr(offsets, name, getattr(made, name))
    monkeypatch.setattr(offsets, "ViewPositions", made.opened)
    monkeypatch.setattr(Database, "absence", lambda _: None)
    return made


@pytest.mark.parametrize(("workers", "group"), [("ranking", "rankers"), ("pools", "poolers")])
def test_a_views_positions_are_set_before_kafkas_and_only_while_its_group_is_empty(
    world: World, workers: str, group: str
) -> None:
    assert world.reset(workers, "--yes")[0] == 0
    assert [step[:2] for step in world.done] == [  # type: ignore[index]
        ("members", group),
        ("check", group),
        ("check", group),
        ("view", {"ranking": "scores", "pools": "pools"}[workers]),
        ("kafka", group),
    ]


def test_the_streamer_is_set_in_kafka_alone(world: World) -> None:
    assert world.reset("streamer", "--yes")[0] == 0
    assert [step[:2] for step in world.was_set()] == [("kafka", "streamers")]  # type: ignore[index]
    assert ("committed", "streamers") in world.done


@pytest.mark.parametrize("busy_from", [1, 2], ids=["at first", "since it was asked"])
def test_nothing_is_set_of_a_group_that_has_members(world: World, busy_from: int) -> None:
    world.busy_from = busy_from
    code, output = world.reset("ranking", "--yes")
    assert (code, world.was_set()) == (1, [])
    assert "group rankers has 1 live member" in output


def test_a_dry_run_shows_what_would_be_set_also_while_the_group_works(world: World) -> None:
    world.busy_from = 1
    code, output = world.reset("ranking", "--dry-run")
    assert (code, world.was_set()) == (0, [])
    assert "│ 8 │ 3 │ 0 │ -3 │" in output
    assert output.endswith("Nothing was set.")


@pytest.mark.parametrize(("answer", "is_set"), [("n\n", False), ("\n", False), ("y\n", True)])
def test_without_a_yes_nothing_is_set(world: World, answer: str, is_set: bool) -> None:
    assert world.reset("ranking", answer=answer)[0] == (0 if is_set else 1)
    assert bool(world.was_set()) is is_set


def test_only_the_topics_that_are_named_are_set_and_only_those_that_there_are(world: World) -> None:
    assert world.reset("pools", "--yes", "--topic", "clips.scored")[0] == 0
    wanted = {at(0): 0}
    assert [step[2] for step in world.was_set()] == [wanted, wanted]  # type: ignore[index]
    world.done.clear()
    code, output = world.reset("pools", "--yes", "--topic", "clips.scored", "--topic", "elsewhere")
    assert (code, world.was_set()) == (1, [])
    assert "group poolers reads no topic 'elsewhere' that exists" in output


@pytest.mark.parametrize("ask", [lambda world: world.reset("ranking", "--dry-run"), lambda world: world.run("show")])
def test_the_password_of_the_database_is_never_shown(world: World, ask: Callable[[World], tuple[int, str]]) -> None:
    code, output = ask(world)
    assert code == 0
    assert SECRET not in output
