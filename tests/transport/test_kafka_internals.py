"""kafka-python still has what we use of it beyond its public interface."""

import ast
from contextlib import closing
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

import transport
from transport.connection import KafkaConnection, open_client
from transport.kafka_internals import USED


def lacking(owner: Any, paths: tuple[str, ...]) -> list[str]:
    found = []
    for path in paths:
        try:
            attrgetter(path)(owner)
        except AttributeError:
            found.append(f"{type(owner).__name__}.{path}")
    return found


def test_the_installed_version_has_every_attribute_that_is_used(embedded_broker: KafkaConnection) -> None:
    producer, network = open_client(KafkaProducer, embedded_broker, transactional_id="probe")
    consumer, _ = open_client(KafkaConsumer, embedded_broker)
    with closing(producer), closing(consumer):
        absent = [path for owner in (producer, consumer, network) for path in lacking(owner, USED[type(owner)])]
    assert not absent, (
        f"kafka-python {version('kafka-python')} has no {', '.join(absent)}: adapt transport/kafka_internals.py, or "
        "exclude that version in pyproject.toml"
    )


def test_what_is_absent_is_named() -> None:
    assert lacking("text", ("upper", "_sender.wakeup")) == ["str._sender.wakeup"]


MODULES = [path for path in sorted(Path(transport.__file__).parent.glob("*.py")) if path.stem != "kafka_internals"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_other_module_uses_private_attributes_of_a_client(module: Path) -> None:
    clients = {"_producer", "_consumer", "_network", "producer", "consumer", "network", "admin"}
    reached = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
        if isinstance(node.value, ast.Attribute | ast.Name)
        if (node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id) in clients
    ]
    assert reached == []
