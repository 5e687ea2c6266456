"""Damage and absurd values: what turns a sound input into one that no reader expects. Each draws from a ``Random``."""

import json
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import msgspec

Tree = Any
"""``None``, booleans, numbers, texts, bytes, lists and dicts of them."""

NUMBERS: Final = (
    *(
        0,
        -1,
        1,
        2,
        255,
        256,
        65_536,
        2**31 - 1,
        2**31,
        2**53 - 1,
        2**53,
        2**63 - 1,
        2**64,
        -(2**63),
        10**400,
    ),
    *(-0.0, 0.5, 5e-324, 1e30, 1e39, 1e308, math.nan, math.inf, -math.inf),
)
TEXTS: Final = (
    *("", " ", ".", "..", "../../etc/passwd", "a/b", "\0", "\n", "\x1b[2J", "\u202egnp", "\u200b", "\ud800", "🙂" * 40),
    *("nan", "1e999", "1.000", "0x10", "١٢", "NULL", "true", "x" * 300, "x" * 20_000, "%s%n", "{}", "$", "é" * 129),
    *("file:///etc/passwd", "s3://bucket/key", "file://host/x", "http://[::1", "\ufeff", "a\r\nb", "-", "clip-1"),
)
BYTES: Final = (b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00" * 7, b"\x80" * 3, b"\x7c" * 8, b"{", b"[" * 2_000)
DEEPEST: Final = 3_000


def damaged(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """``content`` with one to four pieces changed, cut out, put in, doubled, or taken from one of the ``others``."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = _place(rng, len(made))
        length = min(rng.choice((1, 1, 2, 4, 8, 16, 64, 512)), len(made) - at)
        match rng.randrange(8):
            case 0 if made and at < len(made):
                made[at] ^= 1 << rng.randrange(8)
            case 1 if made and at < len(made):
                made[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5B, 0x7B, rng.randrange(256)))
            case 2:
                del made[at : at + length]
            case 3:
                made[at:at] = rng.choice((rng.randbytes(length), *BYTES))
            case 4:
                made[at:at] = made[at : at + length] * rng.choice((1, 1, 2, 50))
            case 5:
                made[at : at + length] = rng.randbytes(length)
            case 6:
                del made[at:]
            case _ if others:
                other = rng.choice(others)
                start = _place(rng, len(other))
                made[at:] = other[start:]
    return bytes(made)


def _place(rng: Random, length: int) -> int:
    """Anywhere, but often near the beginning, where headers are."""
    return rng.randint(0, min(length, rng.choice((8, 64, 1 << 40))))


def absurd(rng: Random) -> Tree:
    """A value that no field expects."""
    match rng.randrange(10):
        case 0 | 1 | 2:
            return rng.choice(NUMBERS)
        case 3 | 4 | 5:
            return rng.choice(TEXTS)
        case 6:
            return rng.choice((None, True, False, [], {}))
        case 7:
            return rng.choice(BYTES)
        case 8:
            return [absurd(rng) for _ in range(rng.randrange(4))]
        case _:
            return {str(rng.choice(TEXTS)): absurd(rng) for _ in range(rng.randrange(3))}


def bent(rng: Random, tree: Tree) -> Tree:
    """A copy of ``tree`` with one to three values replaced, dropped, moved, doubled or wrapped."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        tree = _bent_once(rng, tree)
    return tree


def _bent_once(rng: Random, tree: Tree) -> Tree:
    if isinstance(tree, Mapping) and tree and rng.random() < 0.85:
        made = dict(tree)
        key = rng.choice(list(made))
        if rng.random() < 0.65:
            return made | {key: _bent_once(rng, made[key])}
        match rng.randrange(4):
            case 0:
                del made[key]
            case 1:
                made[str(rng.choice(TEXTS))] = made.pop(key)
            case 2:
                made[str(rng.choice(TEXTS))] = absurd(rng)
            case _:
                made[key] = made[rng.choice(list(made))]
        return made
    if isinstance(tree, list | tuple) and tree and rng.random() < 0.85:
        items = list(tree)
        at = rng.randrange(len(items))
        if rng.random() < 0.7:
            items[at] = _bent_once(rng, items[at])
        else:
            items[at : at + 1] = [items[at]] * rng.choice((0, 2, 40))
        return items
    if isinstance(tree, str) and rng.random() < 0.3:
        at = rng.randint(0, len(tree))
        return tree[:at] + rng.choice(TEXTS) + tree[at + rng.randrange(3) :]
    if isinstance(tree, int | float) and not isinstance(tree, bool) and abs(tree) < 1e15 and rng.random() < 0.4:
        return rng.choice((-tree, tree * 1000, tree / 1000, str(tree), float(tree), tree + 0.5, [tree]))
    if rng.random() < 0.03:
        return nested(rng.randrange(2, DEEPEST), rng.choice(("list", "dict")))
    return absurd(rng)


def nested(depth: int, kind: str) -> Tree:
    """Lists in lists, or dicts in dicts."""
    made: Tree = 0
    for _ in range(depth):
        made = [made] if kind == "list" else {"a": made}
    return made


def as_json(tree: Tree) -> bytes:
    """``tree`` in JSON, with what JSON has no form for written as Python does: NaN, half surrogate pairs, huge numbers.

    Bytes become text. What is nested too deeply for the encoder is written by hand.
    """
    try:
        return json.dumps(tree, default=lambda value: value.decode("latin-1")).encode()
    except RecursionError:
        return b'{"schema":' + b"[" * DEEPEST + b"]" * DEEPEST + b"}"


def as_msgpack(tree: Tree) -> bytes:
    """``tree`` in MessagePack; as JSON if it holds what MessagePack has no form for."""
    try:
        return msgspec.msgpack.encode(tree)
    except (OverflowError, UnicodeEncodeError, RecursionError, ValueError):
        return as_json(tree)


def as_toml(tree: Mapping[str, Tree]) -> str:
    """``tree`` as a TOML document: tables as sections, tables below them inline. Not all that it writes is valid."""
    plain = [f"{_key(key)} = {_toml(value)}" for key, value in tree.items() if not isinstance(value, Mapping)]
    sections = [
        "\n".join([f"[{_key(key)}]", *(f"{_key(name)} = {_toml(each)}" for name, each in value.items())])
        for key, value in tree.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*plain, *sections]) + "\n"


def _key(key: str) -> str:
    return key if key.replace("_", "a").isalnum() and key.isascii() else json.dumps(key)


def _toml(value: Tree) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return json.dumps(value.decode("latin-1"))
    if isinstance(value, list | tuple):
        return _nested_toml(value) or f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return _nested_toml(value) or f"{{{', '.join(f'{_key(key)} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, str):
        return json.dumps(value)
    if value is None:
        return '""'
    if isinstance(value, int) and value >= 1 << 64:
        return "0x" + "f" * 5_000  # Python writes no such number in decimal
    return str(value)


def _nested_toml(value: Tree) -> str | None:
    """What is nested too deeply to be written by recursion; ``None`` for all else."""
    depth, kind = 0, type(value)
    inner = value
    while isinstance(inner, kind) and len(inner) == 1:
        inner = inner[0] if isinstance(inner, list | tuple) else next(iter(inner.values()))
        depth += 1
    if depth < 100:
        return None
    opening, closing = ("[", "]") if kind is not dict else ("{a=", "}")
    return opening * depth + "0" + closing * depth
