"""The beginning of a video as a video of its own, without decoding it."""

from pathlib import Path

import av


def cut_beginning(source: Path, target: Path, seconds: float) -> None:
    """Write the first ``seconds`` of the pictures of ``source`` to ``target`` (``.mkv``), as they are encoded.

    Only for videos that are trusted: the libraries read them in this process. Raises ``av.FFmpegError`` for one that
    they cannot read.
    """
    with av.open(str(source)) as given, av.open(str(target), "w", format="matroska") as made:
        pictures = given.streams.video[0]
        copied = made.add_stream_from_template(pictures)
        began = None
        for packet in given.demux(pictures):
            at = packet.dts if packet.dts is not None else packet.pts
            if at is None or packet.time_base is None:
                continue  # the end
            began = at if began is None else began
            if float((at - began) * packet.time_base) >= seconds:
                break
            packet.stream = copied
            made.mux(packet)


__all__ = ["cut_beginning"]
