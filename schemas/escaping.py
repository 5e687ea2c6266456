"""Text from outside, made safe to show: on a terminal and in a log of lines."""

from typing import Final

_ELLIPSIS: Final = " … "


def escaped(text: str, *, keep: str = "") -> str:
    r"""``text`` with every character that a terminal acts on, or does not show, as Python writes it: ``\n``, ``\x1b``.

    These are control characters, C1 included, line and paragraph separators, bidirectional and zero-width marks, spaces
    other than the common one, and surrogates that no encoding takes. Those in ``keep`` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shortened(text: str, most: int = 300) -> str:
    """``text`` with its middle left out if it has more than ``most`` characters: messages of decoders quote what they
    refuse whole, and say at the end where it stands.
    """
    if len(text) <= most:
        return text
    end = (most - len(_ELLIPSIS)) // 2
    return f"{text[: most - len(_ELLIPSIS) - end]}{_ELLIPSIS}{text[-end:]}"
