"""Events to bytes and back: MessagePack maps with field names; JSON is read as well, so that a person can send one by
hand.
"""

import codecs
import re
from collections.abc import Callable
from typing import Final, TypeVar, cast

import msgspec

from schemas.decoder_messages import of_msgspec
from schemas.errors import MalformedEvent, UnknownSchemaVersion
from schemas.escaping import escaped
from schemas.events import EVENT_TYPES, UPLOAD_TYPES, ClipScored, Event, UploadEvent
from schemas.modalities import MODALITIES, MODALITY_NAME

E = TypeVar("E", bound=Event)

_TAGS: Final = {str(event_type.__struct_config__.tag): event_type for event_type in EVENT_TYPES}
_AT_PATH: Final = re.compile(r" - at `(?:key` in `)?\$\.?(?P<path>[^`]*)`$")
_NAMED_FIELD: Final = re.compile(r"(?:required|unknown) field `(?P<name>[^`]*)`")
_RULE_OF_FIELD: Final = re.compile(r"^(?P<name>[a-z0-9_]+) must ")  # how the checks of ``schemas.events`` begin
_MAX_QUOTED: Final = 80
_MAX_CLIP_ID: Final = 128
_BEGINNING: Final = 16
_MAX_MESSAGE: Final = 1024  # the decoder quotes names of unknown fields whole
_MAX_FIELD: Final = 256
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_WHITE_SPACE: Final = b" \t\r\n"
_TRUNCATED: Final = "truncated"
_TRAILING: Final = "trailing characters"  # both as msgspec says it
_CUT: Final = (
    "; a producer that makes a record of each line, as kcat does, cuts a document of several lines: write the document "
    "on one line and send it again"
)
_LINE_OF_JSON: Final = re.compile(rb"[A-Za-z0-9.+-]+\s*[,\]}]")
_REGISTRY_HEADER: Final = 5

_to_msgpack: Final = msgspec.msgpack.Encoder()
_to_json: Final = msgspec.json.Encoder()


class _Tag(msgspec.Struct):
    schema: str


class _ClipId(msgspec.Struct):
    clip_id: str


def encode(event: Event) -> bytes:
    """Compact form, for the topics."""
    return _to_msgpack.encode(event)


def encode_json(event: Event) -> bytes:
    """Readable form, accepted by ``decode`` as well; bytes become base64."""
    return _to_json.encode(event)


def unreported(name: str) -> None:
    """Results of unknown modalities go unreported."""


def decode(raw: bytes | None, *expected: type[E], on_unknown_modality: Callable[[str], None] = unreported) -> E:
    """Decode one event that has to be of one of the ``expected`` types.

    Results of a scored clip in modalities that this release does not know are left out, each reported to
    ``on_unknown_modality`` by name; nothing but the fused score may remain. Names in ``missing`` are left out likewise.
    Raises ``UnknownSchemaVersion`` if the event names a schema or version that is unknown here, and
    ``MalformedEvent``, with the field where there is one, for everything else that is wrong.
    """
    if not raw:
        raise MalformedEvent("the record has no value; send an event as MessagePack or JSON")
    tag = _read(raw, _Tag).schema
    event_type = _TAGS.get(tag)
    wanted = ", ".join(known for known, read in _TAGS.items() if issubclass(read, expected))
    if event_type is None:
        raise UnknownSchemaVersion(
            f"schema {tag[:_MAX_QUOTED]!r} is unknown to this release, which reads {wanted} here", field="schema"
        )
    for candidate in expected:
        if issubclass(event_type, candidate):  # a later version of a scored clip is one
            if not issubclass(event_type, ClipScored):
                return _read(raw, event_type)
            return cast(E, _scored(raw, event_type, on_unknown_modality))
    raise MalformedEvent(f"schema {tag!r} does not belong on this topic; expected {wanted}", field="schema")


def decode_upload(raw: bytes | None) -> UploadEvent:
    """``decode`` an upload of either version."""
    return cast(UploadEvent, decode(raw, *UPLOAD_TYPES))


def peek_clip_id(raw: bytes | None) -> str | None:
    """The clip id, cut to 128 characters, of an event that may be broken elsewhere; ``None`` if even that cannot be
    read.
    """
    try:
        return _read(raw or b"", _ClipId).clip_id[:_MAX_CLIP_ID]
    except MalformedEvent:
        return None


T = TypeVar("T")


def _scored(raw: bytes, as_type: type[T], on_unknown_modality: Callable[[str], None]) -> T:
    try:
        event = _read(raw, as_type)
    except MalformedEvent:
        known, unknown = _known_part(raw)
        if known is None:
            raise
        event = _read(known, as_type)
        for name in unknown:
            on_unknown_modality(name)
        return event
    if isinstance(event, ClipScored) and not event.modalities:
        raise MalformedEvent(
            "modalities must hold at least one result; score the clip again and send the event again",
            field="modalities",
        )
    return event


def _known_part(raw: bytes) -> tuple[bytes | None, list[str]]:
    """A scored clip without modalities that are unknown here, and the names of the results left out; ``None`` if there
    is nothing to leave out, or if a name cannot be a modality's.
    """
    form = msgspec.json if _looks_like_json(raw) else msgspec.msgpack
    try:
        fields = form.decode(raw.removeprefix(_UTF8_BOM), type=dict[str, msgspec.Raw])
        results = form.decode(fields["modalities"], type=dict[str, msgspec.Raw])
        missing = form.decode(fields["missing"], type=list[str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None, []
    unknown = {name for name in (*results, *missing) if name not in MODALITIES}
    if not unknown or not all(MODALITY_NAME.fullmatch(name) for name in unknown):
        return None, []
    attention = fields.get("temporal_attention")
    if attention is not None and _modality_of(attention, form.decode) not in MODALITIES:
        del fields["temporal_attention"]
    known: dict[str, object] = {
        **fields,
        "modalities": {name: result for name, result in results.items() if name not in unknown},
        "missing": [name for name in missing if name not in unknown],
    }
    return form.encode(known), sorted(unknown & results.keys())


class _OfModality(msgspec.Struct):
    modality: str


def _modality_of(attention: msgspec.Raw, read: Callable[..., _OfModality | None]) -> str | None:
    """Whose attention over time it is; ``None`` if that cannot be read, which counts as unknown."""
    try:
        found = read(attention, type=_OfModality | None)
    except msgspec.DecodeError:
        return None
    return None if found is None else found.modality


def _read(raw: bytes, as_type: type[T]) -> T:
    raw = raw.removeprefix(_UTF8_BOM)  # editors on Windows begin a JSON file with it; no MessagePack map begins so
    if raw and not (_looks_like_json(raw) or _looks_like_a_map(raw)):
        raise MalformedEvent(
            f"the value is neither a JSON object nor a MessagePack map; it begins with {raw[:_BEGINNING]!r}"
            f"{_remedy_for(raw)}"
        )
    try:
        if _looks_like_json(raw):
            return msgspec.json.decode(raw, type=as_type)
        return msgspec.msgpack.decode(raw, type=as_type)
    except msgspec.ValidationError as error:
        field, remedy = _field(str(error)), "correct the field and send the event again"
        if (field or "").endswith("_ms") and "`int` <" in str(error):
            remedy = "this looks like nanoseconds; send milliseconds since 1970, UTC"
        raise MalformedEvent(f"{escaped(of_msgspec(str(error))[:_MAX_MESSAGE])}; {remedy}", field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        is_json = _looks_like_json(raw)
        remedy = ""
        if is_json and _TRUNCATED in str(error):
            remedy = _CUT
        elif is_json and _TRAILING in str(error):
            remedy = "; send each event in a record of its own"
        raise MalformedEvent(
            f"the value is not a complete {'JSON' if is_json else 'MessagePack'}: {error}{remedy}"
        ) from error


def _remedy_for(raw: bytes) -> str:
    """What to do about a value that is not an event, as far as its beginning says what it is."""
    text = raw.lstrip(_WHITE_SPACE)
    if not text:
        return "; it is blank, as where each line of a file becomes a record: leave out the empty lines"
    if text[:1] in (b'"', b"}", b"]", b",") or _LINE_OF_JSON.match(text):
        return f"; it looks like part of a JSON document{_CUT}"
    if text[:1] == b"[":
        return "; it looks like a JSON list: send each event in a record of its own"
    if text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "; it looks like UTF-16: save the document as UTF-8 and send it again"
    if text[:1] == b"\0" and text[_REGISTRY_HEADER:].lstrip(_WHITE_SPACE)[:1] == b"{":
        return "; it has the header of a schema registry: use a serializer that writes plain JSON"
    return ""


def _looks_like_json(raw: bytes) -> bool:
    # A MessagePack map never starts with white space or a brace: those bytes are small integers there.
    return raw.lstrip(_WHITE_SPACE)[:1] == b"{"


def _looks_like_a_map(raw: bytes) -> bool:
    # fixmap, map 16, map 32
    return 0x80 <= raw[0] <= 0x8F or raw[0] in (0xDE, 0xDF)


def _field(message: str) -> str | None:
    path = _AT_PATH.search(message)
    name = _NAMED_FIELD.search(message) or _RULE_OF_FIELD.search(message)
    parts = [match.group(1) for match in (path, name) if match and match.group(1)]
    return ".".join(parts)[:_MAX_FIELD] or None
