"""A new model beside the old one: built from its own log, switched to and back while people ask, and retired."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from ranking.scores.store import ScoreStore
from schemas.bundle import read_bundle
from tests.faults.conftest import Scene
from tests.faults.processes import Worker, ranker, server, streamer, write_config
from tests.integration.scored_log import read_log
from tests.ranking.databases import migrated
from tests.small_bundle import write_small_bundle
from tests.waiting import STANDSTILL_S, wait_until
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

CLIPS = 160
ASKED_S = 1.5
MakeScene = Callable[[KafkaConnection, str, int], Scene]


@dataclass
class Answer:
    began_s: float
    ended_s: float
    status: int
    generation: str
    is_expected: bool


@dataclass
class Asking:
    """People who ask ``servers`` the same questions all the time, and compare with what each generation answers."""

    servers: list[Worker]
    paths: list[str]
    expected: dict[tuple[str, str], Any]
    answers: list[Answer] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(each, stop)) for each in self.servers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, worker: Worker, stop: threading.Event) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{worker.port}", timeout=30.0) as client:
            while not stop.is_set():
                for path in self.paths:
                    began_s = time.monotonic()
                    response = client.get(path)
                    generation = response.json().get("generation", "")
                    as_expected = clips_of(response.json()) == self.expected.get((path, generation))
                    self.answers.append(
                        Answer(began_s, time.monotonic(), response.status_code, generation, as_expected)
                    )


def clips_of(answer: dict[str, Any]) -> list[str]:
    """The clips that an answer names, in order."""
    return [entry["clip_id"] for entry in answer.get("hits", answer.get("entries", ()))]


def ask(worker: Worker, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{worker.port}{path}", timeout=30.0)


def run(config: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["generations", *arguments, "--config", str(config)], env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result.output


def test_questions_through_an_upgrade_are_answered_by_one_generation_each_and_never_refused(
    scene: MakeScene, kafka_connection: KafkaConnection, postgresql_url: str, tmp_path: Path
) -> None:
    here = scene(kafka_connection, postgresql_url, CLIPS)
    old = Processes(here.settings).bundle.manifest.generation
    bundle = write_small_bundle(tmp_path / "bundle", seed=3)
    new = read_bundle(bundle).manifest.generation
    logs = [here.settings.streamer.scored_topic, f"{here.settings.streamer.scored_topic}.{new}"]
    beside = here.settings.model_copy(
        update={
            "bundle": bundle,
            "kafka": here.settings.kafka.model_copy(
                update={"streamer_group": here.settings.kafka.streamer_group + "-2"}
            ),
            "streamer": here.settings.streamer.model_copy(update={"scored_topic": logs[1]}),
        }
    )
    views = write_config(tmp_path / "views.toml", here.settings, ranking={"scored_topics": logs})
    upgrade = write_config(tmp_path / "upgrade.toml", beside)
    upgrade.write_text(f'bundle = "{bundle}"\n' + upgrade.read_text())
    with ExitStack() as stack:
        store = ScoreStore(stack.enter_context(migrated(postgresql_url)))
        before = stack.enter_context(streamer("streamer-old", here.config))
        stack.enter_context(ranker("ranker-0", views))
        servers = [
            stack.enter_context(server(f"server-{number}", views, tmp_path / f"index-{number}")) for number in range(2)
        ]
        wait_until(lambda: store.generations() == {old: CLIPS}, what="the old model did not score everything")
        stack.enter_context(streamer("streamer-new", upgrade))
        wait_until(
            lambda: store.generations() == {old: CLIPS, new: CLIPS}, what="the new model did not score everything"
        )
        assert store.active_generation() == old

        run(views, "use", new, "--patience", str(STANDSTILL_S))  # returns once both servers hold it
        run(views, "rollback")
        clips = [upload.clip_id for upload in here.sent[:4]]
        challenge = here.sent[0].challenge_id
        paths = [f"/v1/clips/{clip}/similar?k=5" for clip in clips] + [f"/v1/challenges/{challenge}/rankings?k=5"]
        expected = {
            (path, generation): clips_of(ask(servers[0], f"{path}&generation={generation}").json())
            for path in paths
            for generation in (old, new)
        }
        assert all(expected[path, old] != expected[path, new] for path in paths), "the models differ"
        asking = Asking(servers, paths, expected)
        moments: list[tuple[float, float, str]] = []
        with asking.running():
            time.sleep(ASKED_S)
            for command, generation in (("use", new), ("rollback", old), ("rollback", new)):
                began_s = time.monotonic()
                run(views, command, *([generation] if command == "use" else []))
                moments.append((began_s, time.monotonic(), generation))
                time.sleep(ASKED_S)
        check_answers(asking.answers, moments, first=old)

        run(views, "retire", old, "--yes")
        wait_until(
            lambda: all(ask(each, f"{paths[0]}&generation={old}").status_code == 404 for each in servers),
            what="the old model was not dropped",
        )
        assert before.stop() == 0
        assert servers[0].stop() == 0, servers[0].log()[-3000:]
        servers[0].start()
        wait_until(lambda: servers[0].metric("dancerank_index_vectors") > 0, what="a server did not come back")
        assert clips_of(ask(servers[0], paths[0]).json()) == expected[paths[0], new]
        assert [(each["generation"], each["in_force"]) for each in ask(servers[1], "/v1/generations").json()] == [
            (new, True),
            (old, False),
        ]
    for settings, generation in ((here.settings, old), (beside, new)):
        log = read_log(settings, here.connection)
        assert {clip.generation for clip in log} == {generation}
        assert sorted(clip.clip_id for clip in log) == sorted(upload.clip_id for upload in here.sent)


def check_answers(answers: list[Answer], moments: list[tuple[float, float, str]], *, first: str) -> None:
    """None was refused or of two generations, and each is of the one chosen last: while a choice is made, of either."""
    assert {answer.status for answer in answers} == {200}
    assert all(answer.is_expected for answer in answers)
    counted = dict.fromkeys(range(len(moments) + 1), 0)
    for number, generation in enumerate([first, *(chosen for *_, chosen in moments)]):
        since_s = moments[number - 1][1] if number else 0.0
        until_s = moments[number][0] if number < len(moments) else float("inf")
        settled = [answer for answer in answers if answer.began_s > since_s and answer.ended_s < until_s]
        counted[number] = len(settled)
        assert {answer.generation for answer in settled} == {generation}
    assert min(counted.values()) > 10, counted
