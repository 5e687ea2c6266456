"""What the running system reports of itself. The base class reports nothing; ``exporters.prometheus`` does."""

from schemas.modalities import Modality
from schemas.ports import TopicPartition


class Observer:
    """Receives facts from the streamer and the ranking. Every method returns at once and never raises."""

    def consumed(self, topic: str, records: int) -> None:
        """``records`` records of ``topic`` were read."""

    def produced(self, topic: str, records: int) -> None:
        """``records`` records of ``topic`` were written and acknowledged."""

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record of ``topic`` went to its dead-letter topic; ``reason`` is an error ``code``."""

    def skipped(self, topic: str, reason: str) -> None:
        """A record of ``topic`` was rightly left unapplied, for example one of another generation."""

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        """How far behind the end a consumer is: records not yet read, and the age of the last that was (0: none)."""

    def batch_formed(self, clips: int, frames: int, padded_frames: int) -> None:
        """A batch of ``clips`` holds ``frames`` real steps in ``padded_frames`` steps of padded array."""

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        """``stage`` is one of load, wait, inference, fusion, publish, total, apply, query."""

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        """The ONNX Runtime execution provider that runs a stream (``None``: the fusion)."""

    def in_flight(self, clips: int) -> None:
        """Clips read and not yet written."""

    def index_size(self, modality: Modality, vectors: int) -> None:
        """Vectors in the index of a modality."""

    def snapshot_failed(self) -> None:
        """The index could not be saved; it is tried again later."""

    def retrievable(self, freshness_s: float) -> None:
        """A clip became retrievable ``freshness_s`` seconds after its upload."""
