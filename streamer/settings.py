"""Everything about a streamer that an operator may choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from schemas.errors import ConfigurationError
from schemas.features import DEFAULT_MAX_BYTES

_MAY_BE_ZERO = frozenset({"inference_threads", "max_batch_wait_s", "poll_timeout_s"})


@dataclass(frozen=True, kw_only=True)
class StreamerSettings:
    """Settings of one streamer process. Raises ``ConfigurationError`` naming the field whose value cannot work."""

    # Read by pydantic when the command embeds this class in its own settings: a misspelt key is refused.
    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}

    uploads_topic: str = "clips.uploaded"
    """Topic that uploads are read from."""
    scored_topic: str = "clips.scored"
    """Topic that scored clips are written to."""

    feature_roots: tuple[str, ...] = ()
    """Folders that feature files may be read from, as URIs (``file:///data/features``, ``s3://bucket/prefix``).
    Without any, only inline features are accepted."""
    store_options: Mapping[str, Mapping[str, object]] = field(default_factory=dict, repr=False)
    """fsspec options by scheme, for example ``{"s3": {"endpoint_url": "http://minio:9000"}}``."""
    max_feature_bytes: int = DEFAULT_MAX_BYTES
    """Largest feature file, in bytes. Larger ones are refused unread."""
    store_patience_s: float = 30.0
    """How long a feature store that does not answer is asked again, in seconds, before the streamer gives up."""
    loader_threads: int = 4
    """Threads that load features, beside the one that runs the networks."""

    max_in_flight_clips: int = 128
    """Clips read and not yet written. At this number reading pauses."""
    max_in_flight_bytes: int = 512 * 1024 * 1024
    """Bytes of loaded feature files, and of records, held at once. Loading and reading pause here. One larger file is
    still loaded, alone."""
    poll_timeout_s: float = 0.2
    """Longest wait for uploads when nothing is in flight, in seconds."""

    max_batch_clips: int = 32
    """Most clips in one batch."""
    max_batch_steps: int = 4096
    """Padded cost of a batch: clips times the longest one's length, in steps of 25 Hz. A longer clip runs alone.
    Memory grows with it: one full-size skeletal activation takes 64 KiB per step."""
    max_batch_wait_s: float = 0.1
    """Longest that a loaded clip waits for company, in seconds."""
    length_ratio: float = 1.25
    """Lengths within this factor of each other share a batch, so at most 1 - 1/ratio of a batch is padding."""

    providers: tuple[str, ...] = ("cuda", "cpu")
    """ONNX Runtime execution providers, best first. Those that this machine lacks are passed over; at least one must be
    there. ``("cuda",)`` refuses to run on the CPU."""
    inference_threads: int = 0
    """Threads of one ONNX Runtime operator; 0 takes one per core."""

    commit_interval_s: float = 0.25
    """Time between two transactions, in seconds. Results can be read once theirs is committed."""
    flush_timeout_s: float = 15.0
    """How long the broker may take to acknowledge what was written, in seconds."""
    drain_timeout_s: float = 25.0
    """How long finishing what is in flight may take when the process stops or loses partitions, in seconds."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not (value > 0 or (value == 0 and setting.name in _MAY_BE_ZERO)):
                least = "at least 0" if setting.name in _MAY_BE_ZERO else "above 0"
                raise ConfigurationError(f"{setting.name} is {value}; it must be {least}", field=setting.name)
        if not 1 < self.length_ratio < float("inf"):
            raise ConfigurationError(
                f"length_ratio is {self.length_ratio}; it must be above 1, for example 1.25", field="length_ratio"
            )
        for name in ("uploads_topic", "scored_topic"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} is empty; name a topic", field=name)
        if self.uploads_topic == self.scored_topic:
            raise ConfigurationError(
                f"uploads_topic and scored_topic are both {self.scored_topic!r}; they must differ", field="scored_topic"
            )
        if not self.providers:
            raise ConfigurationError("providers is empty; name at least one, for example cpu", field="providers")
