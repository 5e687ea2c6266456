"""Members that join, leave and freeze: every partition makes progress, and no clip is scored twice."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from schemas.events import temporal_attention
from tests.faults.conftest import SESSION_S, Scene
from tests.faults.killing import Cached, await_all
from tests.faults.processes import streamer
from tests.faults.verification import wrong_results
from tests.integration.scored_log import read_log
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.group_offsets import committed_offsets, members_of, partition_ends

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1200)]  # ends by progress

CLIPS = 900
CLIPS_OF_THE_RESTLESS = 3000
MakeScene = Callable[..., Scene]


def assert_each_once(scene: Scene) -> None:
    """And with the results that it has where no member leaves."""
    ends = partition_ends(scene.connection, [scene.settings.streamer.uploads_topic])
    assert sum(end.end for end in ends.values()) == len(scene.sent), "an upload lies on its topic twice"
    log = read_log(scene.settings, scene.connection)
    assert Counter(clip.clip_id for clip in log) == Counter(upload.clip_id for upload in scene.sent)
    assert any(temporal_attention(clip) is not None for clip in log)
    assert wrong_results(log, scene.sent, scene.settings) == 0


def committed(scene: Scene) -> int:
    """How many uploads the group has committed."""
    return sum(committed_offsets(scene.connection, scene.settings.kafka.streamer_group).values())


def all_written(scene: Scene) -> Cached:
    """Whether the group has committed every partition of the uploads to its end."""

    def reached() -> bool:
        ends = partition_ends(scene.connection, [scene.settings.streamer.uploads_topic])
        return sum(end.end for end in ends.values()) <= committed(scene)

    return Cached(reached, every_s=1.0)


@pytest.mark.parametrize("is_static", [False, True], ids=["dynamic", "static"])
def test_members_that_join_and_leave_every_few_seconds_score_every_clip_once(
    scene: MakeScene, kafka_connection: KafkaConnection, is_static: bool
) -> None:
    here = scene(kafka_connection, "sqlite:///unused.db", CLIPS_OF_THE_RESTLESS, with_routines=True)
    workers = [streamer(f"streamer-{number}", here.config, is_static=is_static) for number in range(3)]
    done = all_written(here)
    with ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker)
        turns, written = 0, 0

        def let_one_leave() -> None:
            nonlocal turns, written
            leaving = workers[turns % len(workers)]
            # On a busy machine members would otherwise leave before they have read anything, one after the other.
            moved = leaving.metric("process_start_time_seconds") and committed(here) > written
            if moved and (is_static or holders(here) == len(workers)):
                written = committed(here)
                assert leaving.stop() == 0, leaving.log()[-3000:]
                turns += 1
                if not is_static:
                    wait_until(lambda: done() or holders(here) == len(workers) - 1, what="the others took no partition")
                time.sleep(1.0)
                leaving.start()
            time.sleep(0.2)

        wait_until(done, let_one_leave, what="not everything was scored", progress=lambda: committed(here))
        assert turns >= 2
    assert_each_once(here)


def holders(scene: Scene) -> int:
    """How many members share all partitions of the uploads; 0 while some partitions are not assigned."""
    members = members_of(scene.connection, scene.settings.kafka.streamer_group)
    held = [at for member in members for at in member.partitions]
    everything = partition_ends(scene.connection, [scene.settings.streamer.uploads_topic])
    return sum(bool(member.partitions) for member in members) if set(held) == set(everything) else 0


def test_a_member_that_froze_until_others_had_its_partitions_writes_nothing_and_joins_again(
    scene: MakeScene, kafka_connection: KafkaConnection
) -> None:
    here = scene(kafka_connection, "sqlite:///unused.db", CLIPS, with_routines=True)
    with streamer("zombie-0", here.config) as zombie:
        wait_until(zombie.progress, what="the first member wrote nothing")
        zombie.send(signal.SIGSTOP)
        with streamer("healthy-0", here.config) as healthy:
            done = all_written(here)
            wait_until(healthy.progress, what="the second member wrote nothing")
            time.sleep(SESSION_S / 2)
            zombie.send(signal.SIGCONT)
            await_all(done, [healthy, zombie])
            # The other one may have done all of it before this one wakes.
            wait_until(lambda: zombie.metric("dancerank_interruptions_total") >= 1, what="its commit was not refused")
            assert zombie.stop() == 0, zombie.log()[-3000:]
            assert healthy.stop() == 0, healthy.log()[-3000:]
    assert_each_once(here)
