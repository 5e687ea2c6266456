"""Compression and limits of topics that would hurt later are reported, a sentence each."""

import importlib.util

import pytest

from dancerank.checks import kafka as kafka_checks
from dancerank.checks.kafka import topic_warnings
from dancerank.settings import Settings
from transport.topics import TopicDescription

SETTINGS = Settings()
UPLOADS, SCORED = SETTINGS.streamer.uploads_topic, SETTINGS.streamer.scored_topic
DEAD = f"{UPLOADS}.dead-letter"
MIB = 1024 * 1024


def warned(process: str = "stream", **configs: dict[str, str]) -> list[str]:
    names = {"uploads": UPLOADS, "scored": SCORED, "dead": DEAD}
    topics = {
        names[key]: TopicDescription(name=names[key], partitions=1, config=config) for key, config in configs.items()
    }
    return list(topic_warnings(SETTINGS, topics, process))  # type: ignore[arg-type]


def test_topics_that_fit_and_those_that_are_hidden_give_no_warning() -> None:
    limit = {"max.message.bytes": str(MIB + 12), "compression.type": "producer"}
    assert warned(uploads=limit, scored=limit, dead=limit) == []
    assert warned() == []


@pytest.mark.tried(
    kind="unreadable batches",
    given="a topic whose compression needs a library that is not installed",
    outcome="a warning at the start that names topic and library",
)
@pytest.mark.parametrize(
    ("codec", "named"), [("zstd", ["zstandard"]), ("lz4", []), ("producer", ["zstandard"]), ("gzip", [])]
)
def test_a_compression_whose_library_is_absent_is_named(
    codec: str, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        kafka_checks.importlib.util, "find_spec", lambda name: None if name == "zstandard" else find(name)
    )
    said = warned(uploads={"compression.type": codec})
    assert [f"compression.type={codec}" in each and name in each for each, name in zip(said, named, strict=True)] == [
        True for _ in named
    ]


@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="topics whose max.message.bytes do not fit together or the limits of the process",
    outcome="a warning at the start, a sentence each",
)
def test_limits_that_do_not_fit_are_named() -> None:
    (beyond,) = warned(uploads={"max.message.bytes": str(64 * MIB)})
    assert f"{UPLOADS} takes batches of up to {64 * MIB} bytes" in beyond
    assert f"kafka.max_batch_bytes={16 * MIB}" in beyond
    (narrow,) = warned(uploads={"max.message.bytes": str(4 * MIB)}, dead={"max.message.bytes": str(MIB)})
    assert f"{DEAD} takes {MIB} bytes" in narrow
    assert "without their values" in narrow
    assert warned("serve", uploads={"max.message.bytes": str(4 * MIB)}, dead={"max.message.bytes": str(MIB)}) == []
    (small,) = warned(scored={"max.message.bytes": "1000"})
    assert f"{SCORED} takes 1000 bytes" in small
    assert "record_refused" in small
