"""``dead-letters``: what could not be processed and why, and putting it back (docs/operation.md)."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from dancerank.commands.options import Config, parse_moment
from dancerank.commands.tables.dead_letters import counts_table, dead_letter_tables, dead_letters_tables, replay_table
from dancerank.console.progress import counted
from dancerank.console.terminal import Console, confirm
from dancerank.dead_letters import DeadLetters, as_json, chosen
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from schemas.errors import ConfigurationError
from schemas.local_files import read_file
from schemas.ports import OutgoingRecord, Record
from transport.client_options import ProducerOptions
from transport.dead_letter_records import (
    DeadLetter,
    DeadLetterError,
    DeadLetterFilter,
    DeadLetterId,
    latest,
    parse_dead_letter_id,
)
from transport.kafka_sink import KafkaSink

_SHOWN: Final = 50
# The topic has the say; a record that once came through it has to pass here too.
_LARGEST_BYTES: Final = 128 * 1024 * 1024

Topic = Annotated[
    str | None,
    typer.Option(help="The topic that was read, such as clips.uploaded. Default: all that the settings name."),
]
Reason = Annotated[str | None, typer.Option(help="Only dead letters with this code, such as feature_file_missing.")]
Since = Annotated[
    str | None, typer.Option(help="Only what failed then or later: an ISO date or time, in UTC without an offset.")
]
_LETTER: Final = "PARTITION:OFFSET, of the uploads' dead letters unless --topic says, or TOPIC:PARTITION:OFFSET."


def list_letters(
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Most dead letters shown, the newest; 0: all. All are counted.")
    ] = _SHOWN,
    config: Config = None,
) -> None:
    """What could not be processed, and why; counts by reason at the end.

    A dead letter that was put back and failed again is shown once, as it failed last. Dead letters stay until the
    topic's retention ends, also those that were put back.
    """
    dead_letters, console = DeadLetters(load_settings(config)), Console()
    found = _read(dead_letters, topic, _filter(reason, since))
    shown = chosen(found, limit)
    if shown:
        console.print(dead_letters_tables(shown))
    if len(shown) < len(found):
        console.print(f"{len(found) - len(shown):,} older ones are not shown; --limit 0 shows all", highlight=False)
    if found:
        console.print(counts_table(found))
    else:
        console.print("No dead letters.")
    _report_unreadable(console, dead_letters)


def show(
    dead_letter: Annotated[str, typer.Argument(help=_LETTER)],
    topic: Topic = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the value to this file, to repair it: as it is, or as JSON if the name ends in .json, which "
            "replay --value takes as well."
        ),
    ] = None,
    config: Config = None,
) -> None:
    """One dead letter: its headers, and the event, or the first bytes of a value that is not an event."""
    settings, console = load_settings(config), Console()
    dead_letters = DeadLetters(settings)
    named = _named(settings, dead_letter, topic)
    found, record = dead_letters.get(named)
    content = _content(dead_letters, found, record)
    console.print(dead_letter_tables(found, record, content))
    if save is not None:
        _save(named, content, save)
        console.print(f"The value is in {save}; put it back with: dancerank dead-letters replay {named} --value {save}",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip


def replay(
    dead_letter: Annotated[list[str] | None, typer.Argument(help=f"{_LETTER} Default: all.")] = None,
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=0, help="Most dead letters put back, the newest; 0: all.")] = 0,
    value: Annotated[
        Path | None,
        typer.Option(help="Replay the one named dead letter with this file as its value, MessagePack or JSON."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be put back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: Config = None,
) -> None:
    """Put dead letters back on the topic that they came from, with the key, value and headers that they came with.

    Putting one back twice does no harm: scores, rankings and pools know a clip by its id, and the last result holds. A
    record that was put back says so in its headers replayed-from and attempts. Of dead letters that failed again
    only the last is put back, unless they are named.
    """
    settings, console = load_settings(config), Console()
    if dead_letter and (reason or since or limit):
        raise ConfigurationError(
            "dead letters are named, or chosen by --reason, --since and --limit; not both", field="dead_letter"
        )
    if value is not None and len(dead_letter or ()) != 1:
        raise ConfigurationError("--value is the value of one dead letter; name just that one", field="value")
    dead_letters = DeadLetters(settings)
    if dead_letter:
        picked = [dead_letters.get(_named(settings, text, topic)) for text in dead_letter]
        repaired = None if value is None else dead_letters.repaired(picked[0][0], _content_of(value), str(value))
        wanted, found = len(picked), iter(picked)
    else:
        repaired, ids = None, {each.id for each in chosen(_read(dead_letters, topic, _filter(reason, since)), limit)}
        wanted = len(ids)
        found = (pair for pair in dead_letters.read(sorted({named.topic for named in ids})) if pair[0].id in ids)
    if wanted == 0:
        console.print("No dead letters.")
        return
    refused: list[DeadLetterError] = []
    records = _outgoing(dead_letters, found, repaired, refused)
    if dry_run:
        console.print(replay_table(records))
        console.print(f"Nothing was put back; this would put back {_number(wanted - len(refused))}.", highlight=False)
    else:
        if not yes:
            confirm(f"Put back {_number(wanted)}?")
        _send(settings, (record for _, record in records))
        console.print(f"{_number(wanted - len(refused))} put back.", highlight=False)
    for error in refused:
        console.print(error.message, markup=False, highlight=False, soft_wrap=True)
    if refused:
        raise DeadLetterError(f"{len(refused)} of {_number(wanted)} cannot be put back; see above")


COMMANDS: Final[dict[str, Callable[..., None]]] = {"list": list_letters, "show": show, "replay": replay}


def _filter(reason: str | None, since: str | None) -> DeadLetterFilter:
    return DeadLetterFilter(code=reason, since_ms=None if since is None else parse_moment(since, "since"))


def _read(dead_letters: DeadLetters, topic: str | None, wanted: DeadLetterFilter) -> list[DeadLetter]:
    """The last dead letter of each record, without values."""
    topics = dead_letters.topics(topic)
    with closing(counted(dead_letters.read(topics), "Reading dead letters")) as found:
        return [
            dead_letter for dead_letter in latest(dead_letter for dead_letter, _ in found) if wanted.admits(dead_letter)
        ]


def _named(settings: Settings, text: str, topic: str | None) -> DeadLetterId:
    return parse_dead_letter_id(text, topic or settings.streamer.uploads_topic)


def _outgoing(
    dead_letters: DeadLetters,
    found: Iterator[tuple[DeadLetter, Record]],
    repaired: tuple[bytes, bytes] | None,
    refused: list[DeadLetterError],
) -> Iterator[tuple[DeadLetter, OutgoingRecord]]:
    """The records that replay the dead letters; those that cannot be replayed are added to ``refused``."""
    for dead_letter, record in found:
        try:
            for outgoing in dead_letters.outgoing(dead_letter, record, repaired):
                yield dead_letter, outgoing
        except DeadLetterError as error:
            refused.append(error)


def _content(dead_letters: DeadLetters, found: DeadLetter, record: Record) -> bytes | None:
    """The value of a dead letter, or of what it was made of; the batch, if it was made of one that could not be read;
    ``None`` if it is not kept, which the table then says.
    """
    if found.last_offset is not None:
        return record.value
    try:
        return dead_letters.outgoing(found, record)[0].value
    except DeadLetterError:
        return None


def _send(settings: Settings, records: Iterator[OutgoingRecord]) -> None:
    connection = Processes(settings).connection
    with (
        closing(KafkaSink(connection, ProducerOptions(max_record_bytes=_LARGEST_BYTES))) as sink,
    ):
        with closing(counted(records, "Putting dead letters back")) as shown:
            for record in shown:
                sink.send(record)
        sink.flush(settings.streamer.flush_timeout_s)


def _content_of(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})", field="value") from error


def _save(named: DeadLetterId, content: bytes | None, path: Path) -> None:
    if content is None:
        raise DeadLetterError(f"{named} has no value that could be saved, and its original is no longer kept")
    written = as_json(content) if path.suffix == ".json" else content
    if written is None:
        raise DeadLetterError(
            f"{named} holds neither JSON nor MessagePack; save it as it is, under another name than {path}"
        )
    try:
        path.write_bytes(written)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror})", field="save") from error


def _report_unreadable(console: Console, dead_letters: DeadLetters) -> None:
    if dead_letters.strange:
        count = len(dead_letters.strange)
        are = "record there is not a dead letter" if count == 1 else "records there are not dead letters; the first"
        line = f"{count:,} {are}: {dead_letters.strange[0].message}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _number(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"
