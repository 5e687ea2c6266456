"""What a newcomer writes around the same graphs, each as its documentation shows: the rivals of ``benchmarks.race``.

    python -m benchmarks.rivals.kafka_loops loop|calm-loop|quix SPEC

Needs NumPy, ONNX Runtime, safetensors and msgspec, and what ``benchmarks/rivals-streaming.txt`` names, but nothing of
the project: it runs in an environment of their own. ``SPEC`` is JSON: ``servers``, ``uploads`` and ``scored`` (topics),
``group``, ``bundle`` (folder). Legend: N clips, T time steps of the longest, D embedding width, M streams.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np
import onnxruntime
from safetensors.numpy import load_file


class Model:
    """The graphs of a bundle in sessions as ONNX Runtime opens them, or without threads that spin while they wait."""

    def __init__(self, folder: Path, *, spins: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        if not spins:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        manifest = json.loads((folder / "bundle.json").read_text())
        self.streams = [(s["modality"], s["input_channels"], s["embedding_dim"]) for s in manifest["streams"]]
        sessions = [onnxruntime.InferenceSession(folder / s["file"], options) for s in manifest["streams"]]
        self._sessions = dict(zip([s["modality"] for s in manifest["streams"]], sessions, strict=True))
        self._fusion = onnxruntime.InferenceSession(folder / manifest["fusion"]["file"], options)
        # The streams that are fused come first; the one of routines is not.
        self._fused = next(each.shape[1] for each in self._fusion.get_inputs() if each.name == "scores")

    def score(self, uris: Sequence[str]) -> list[dict[str, Any]]:
        """The scores and embeddings of the clips whose feature files these are, in one batch."""
        clips = [load_file(unquote(uri.removeprefix("file://"))) for uri in uris]
        present = np.array([[name in clip for name, _, _ in self.streams] for clip in clips])
        embeddings = [np.zeros((len(clips), width), np.float32) for _, _, width in self.streams]
        scores = np.zeros(present.shape, np.float32)
        for column, (name, channels, _) in enumerate(self.streams):
            rows = np.flatnonzero(present[:, column])
            if rows.size:
                frames, lengths = _padded([clips[row][name][..., :channels] for row in rows])
                inputs = {"frames": frames, "lengths": lengths}
                embeddings[column][rows], scores[rows, column] = self._sessions[name].run(
                    ["embedding", "score"], inputs
                )
        joined = {
            "embeddings": np.concatenate(embeddings[: self._fused], axis=1),
            "scores": scores[:, : self._fused],
            "present": present[:, : self._fused],
        }
        attention, fused = self._fusion.run(["attention", "fused_score"], joined)
        return [
            {
                "fused_score": float(fused[row]),
                "modalities": {
                    name: {
                        "score": float(scores[row, column]),
                        "attention": float(attention[row, column]),
                        "embedding": embeddings[column][row].astype("<f2").tobytes(),
                    }
                    for column, (name, _, _) in enumerate(self.streams[: self._fused])
                    if present[row, column]
                },
            }
            for row in range(len(clips))
        ]


def _padded(clips: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(T_n, …) to (N, T, …) in float32, and lengths (N,)."""
    if len(clips) == 1:
        return clips[0][None].astype(np.float32), np.array([len(clips[0])])
    lengths = np.array([len(clip) for clip in clips])
    frames = np.zeros((len(clips), lengths.max(), *clips[0].shape[1:]), np.float32)
    for row, clip in zip(frames, clips, strict=True):
        row[: len(clip)] = clip
    return frames, lengths


def answer(model: Model, value: bytes) -> bytes:
    """The record of one upload's result."""
    upload = msgspec.msgpack.decode(value)
    (result,) = model.score([upload["features"]["uri"]])
    return msgspec.msgpack.encode({"clip_id": upload["clip_id"], **result})


def loop(spec: Mapping[str, Any], *, spins: bool = True) -> None:
    """kafka-python's examples of a consumer in a group and of a producer, put together."""
    from kafka import KafkaConsumer, KafkaProducer

    model = Model(Path(spec["bundle"]), spins=spins)
    consumer = KafkaConsumer(
        spec["uploads"],
        bootstrap_servers=spec["servers"],
        group_id=spec["group"],
        auto_offset_reset="earliest",
    )
    producer = KafkaProducer(bootstrap_servers=spec["servers"])
    for message in consumer:
        producer.send(spec["scored"], key=message.key, value=answer(model, message.value))


def quix(spec: Mapping[str, Any]) -> None:
    """Quix Streams' quickstart: a topic, a function that is applied to each message, a topic."""
    from quixstreams import Application

    model = Model(Path(spec["bundle"]))
    app = Application(
        broker_address=",".join(spec["servers"]),
        consumer_group=spec["group"],
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(prefix="quix-"),
    )
    uploads = app.topic(spec["uploads"], value_deserializer="bytes")
    scored = app.topic(spec["scored"], value_serializer="bytes")
    app.dataframe(uploads).apply(lambda value: answer(model, value)).to_topic(scored)
    app.run()


WAYS = {"loop": loop, "calm-loop": partial(loop, spins=False), "quix": quix}

if __name__ == "__main__":
    WAYS[sys.argv[1]](json.loads(sys.argv[2]))
