"""Everything about extraction that an operator may choose."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from extraction.backgrounds.methods import BackgroundMethod
from schemas.errors import ConfigurationError
from schemas.implementations import Implementations

SHIPPED: Final = "shipped"
EXTRACTORS: Final = Implementations(
    field="extraction.extractors",
    noun="a set of extractors",
    group="dancerank.stream_extractors",
    shipped={SHIPPED: "extraction.assembly:open_shipped"},
)

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ExtractionSettings(BaseModel):
    """Settings of what takes features from videos. Raises ``pydantic.ValidationError`` naming the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    extractors: str = SHIPPED
    """What extracts the streams: shipped, an entry point of the group ``dancerank.stream_extractors``, or
    package.module:factory."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Videos that a streamer extracts at once, beside the clips with features that it scores. 0: it moves uploads with
    a video to ``streamer.videos_topic`` for others."""
    models_folder: Path | None = None
    """Folder of the extractors' networks, as ``dancerank extractors fetch`` fills it. Absent:
    ``~/.cache/dancerank/extractors``, or the same in ``XDG_CACHE_HOME``."""
    pose_detector: str = "pose-detector"
    """Network that finds people in whole pictures."""
    pose_network: str = ""
    """Network that finds the landmarks and the mask of the dancer; empty: ``pose-landmarks-lite`` if it is there, else
    ``pose-landmarks-full``, which is more exact and slower."""
    face_detector: str = "face-detector-full-range"
    """Network that finds faces."""
    face_network: str = ""
    """Network that embeds faces; empty: ``face-features`` if it is there, else ``frame-features``."""
    frame_network: str = "frame-features"
    """Network that embeds whole pictures."""
    scene_network: str = ""
    """Network that embeds backgrounds; empty: GIST, which needs no network."""
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("cuda", "cpu")
    """Execution providers of ONNX Runtime that run the extractors' networks, best first. Those that this machine lacks
    are skipped; at least one must be available."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads that run one operator of an extractor's network; 0 takes half of the cores, for several networks run at
    once."""
    longest_side: Annotated[int, Field(ge=128, le=4096)] = 960
    """Frames are scaled down so that their longer side is at most this, in pixels."""
    background: BackgroundMethod = "vibe"
    """How the background is found: ``vibe``, as the paper does, or ``median``, of what the person leaves visible."""
    max_video_bytes: Positive = 1024 * 1024 * 1024
    """Largest video, in bytes. Larger ones are refused unread."""
    max_pixels: Positive = 8192 * 4320
    """Most pixels of one picture of a video (8K by default). Larger ones are refused before they are decoded."""
    decoder_memory_bytes: Annotated[int, Field(ge=256 * 1024 * 1024)] = 2 * 1024 * 1024 * 1024
    """Address space of the process that decodes a video, in bytes. A video that needs more is refused."""
    decoder_cpu_s: Seconds = 300.0
    """CPU seconds that decoding one video may take."""
    decoder_patience_s: Seconds = 30.0
    """Longest wait for the next picture of a video, in seconds; then its decoder is ended and the video refused."""

    @field_validator("extractors")
    @classmethod
    def _are_an_implementation(cls, name: str) -> str:
        try:
            EXTRACTORS.check(name)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return name
