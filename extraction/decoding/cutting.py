"""A part of a video as a video of its own, without decoding it."""

from pathlib import Path

import av

from schemas.errors import VideoUnreadable


def cut(source: Path, target: Path, *, start_s: float = 0.0, length_s: float) -> None:
    """Write the pictures of ``source`` from the first key frame at or after ``start_s`` on, for ``length_s`` seconds,
    to ``target`` (``.mkv``), as they are encoded.

    Only for videos that are trusted: the libraries read them in this process. Raises ``av.FFmpegError`` for one that
    they cannot read, ``VideoUnreadable`` if no key frame follows.
    """
    began = None
    with av.open(str(source)) as given, av.open(str(target), "w", format="matroska") as made:
        pictures = given.streams.video[0]
        copied = made.add_stream_from_template(pictures)
        for packet in given.demux(pictures):
            at = packet.dts if packet.dts is not None else packet.pts
            if at is None or packet.time_base is None:
                continue  # the end
            if began is None:
                shown = at if packet.pts is None else packet.pts  # that of decoding may lie before 0
                if not packet.is_keyframe or float(shown * packet.time_base) < start_s:
                    continue
                began = at
            if float((at - began) * packet.time_base) >= length_s:
                break
            packet.dts = at - began
            packet.pts = None if packet.pts is None else packet.pts - began
            packet.stream = copied
            made.mux(packet)
    if began is None:
        raise VideoUnreadable(f"{source.name} has no key frame after {start_s:g} s; begin the cut earlier")


__all__ = ["cut"]
