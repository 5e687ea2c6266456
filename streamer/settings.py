"""Everything about a streamer that an operator may choose."""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.errors import ConfigurationError
from schemas.features import DEFAULT_MAX_BYTES
from schemas.modalities import Modality
from streamer.extractors.selection import EXTRACTORS
from streamer.runtimes.selection import RUNTIMES

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Topic = Annotated[str, Field(min_length=1)]


class StreamerSettings(BaseModel):
    """Settings of one streamer process. Raises ``pydantic.ValidationError`` naming the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    uploads_topic: Topic = "clips.uploaded"
    """Topic that uploads are read from."""
    scored_topic: Topic = "clips.scored"
    """Topic that scored clips are written to."""
    videos_topic: Topic = "clips.videos"
    """Topic that uploads with a video are moved to if there is an extractor, so that uploads with features do not wait
    for videos."""

    feature_roots: tuple[str, ...] = ()
    """Folders that feature files may be read from, as URIs (``file:///data/features``, ``s3://bucket/prefix``).
    Without any, only inline features are accepted."""
    extractor: str = ""
    """What takes features from uploads that name a video: an entry point of the group ``dancerank.extractors``,
    package.module:factory, or ``videos``, which is set up under [extraction]. Empty: such uploads are refused. Videos
    have to lie in the feature roots, too. All streamers of a group need the same."""
    store_options: Annotated[Mapping[str, Mapping[str, Any]], Field(repr=False)] = {}
    """fsspec options by scheme, for example ``{"s3": {"endpoint_url": "http://minio:9000"}}``."""
    max_feature_bytes: Positive = DEFAULT_MAX_BYTES
    """Largest feature file, in bytes. Larger ones are refused unread."""
    store_patience_s: Seconds = 30.0
    """How long a feature store that does not answer is asked again, in seconds, before the streamer gives up."""
    loader_threads: Positive = 4
    """Threads that load features, beside the one that runs the networks."""

    max_in_flight_clips: Positive = 128
    """Clips read and not yet written. At this number reading pauses."""
    max_in_flight_bytes: Positive = 512 * 1024 * 1024
    """Bytes of loaded feature files, and of records, held at once. Loading and reading pause here. One larger file is
    still loaded, alone."""
    poll_timeout_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.2
    """Longest wait for uploads when nothing is in flight, in seconds."""

    max_batch_clips: Positive = 32
    """Most clips in one batch."""
    max_batch_steps: Positive = 4096
    """Padded cost of a batch: clips times the longest one's length, in steps of 25 Hz. A longer clip runs alone.
    Memory grows with it: one full-size skeletal activation takes 64 KiB per step."""
    max_batch_wait_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    """Longest that a loaded clip waits for others to share its batch, in seconds."""
    length_ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.25
    """Lengths within this factor of each other share a batch, so at most 1 - 1/ratio of a batch is padding."""

    runtime: str = "onnxruntime"
    """What runs the networks: onnxruntime, openvino (on the CPU, with the extra), an entry point of the group
    ``dancerank.runtimes``, or package.module:factory."""
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("cuda", "cpu")
    """Execution providers of the runtime (ONNX Runtime: tensorrt, cuda-graphs, cuda, cpu), best first. Those that
    this machine lacks are skipped; at least one must be available. ``("cuda",)`` refuses to run on the CPU."""
    inference_threads: Annotated[int, Field(ge=0)] = 0
    """Threads that run one operator of a network; 0: what was measured to be fastest at the start."""
    inference_workers: Annotated[int, Field(ge=0)] = 0
    """Streams that run side by side; 0: what was measured to be fastest, or 1 if ``inference_threads`` is set."""
    stream_batch_clips: Mapping[Modality, Positive] = {}
    """Most clips in one run of a stream, for example ``{ skeletal = 1 }``. For the others the smallest is measured from
    which on larger ones gain nothing."""
    guidance_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.05
    """Share of the clips with a skeleton whose guidance is computed and written with their scores, chosen by clip id;
    tips are means of it. Guidance of a clip takes a little longer than all of its scores: with 1 about half of the
    throughput is left. 0: none. A bundle without gradient graphs gives none."""
    tuning_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """Longest that measuring may take at the start, in seconds. 0: nothing is measured, batches are run whole."""

    commit_interval_s: Seconds = 0.25
    """Longest time between two transactions, in seconds. Results can be read once theirs is committed; when nothing
    else is in flight, that is after a fifth of it."""
    flush_timeout_s: Seconds = 15.0
    """How long the broker may take to acknowledge what was written, in seconds."""
    drain_timeout_s: Seconds = 25.0
    """How long finishing what is in flight may take when the process stops or loses partitions, in seconds."""

    @field_validator("runtime", "extractor")
    @classmethod
    def _is_an_implementation(cls, name: str, info: ValidationInfo) -> str:
        try:
            if info.field_name == "runtime":
                RUNTIMES.check(name)
            elif name:
                EXTRACTORS.check(name)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return name

    @model_validator(mode="after")
    def _distinct_topics(self) -> Self:
        for one, other in combinations(("uploads_topic", "scored_topic", "videos_topic"), 2):
            if (name := getattr(self, one)) == getattr(self, other):
                message = f"{one} and {other} are both {name!r}; they must differ"
                raise PydanticCustomError("setting", "{message}", {"key": other, "message": message})
        return self
