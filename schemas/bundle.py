"""The model bundle: one folder that holds everything a scoring host needs, and the manifest that vouches for it.

A bundle is ``bundle.json`` beside one ONNX file per stream and ``fusion.onnx``. Legend: N clips, T time steps, V
joints, C channels, D embedding width, M streams of the fusion (in ``MODALITIES`` order), P parts of a temporal
attention.

=================  ======================================================  ==========================================
graph              inputs                                                  outputs
=================  ======================================================  ==========================================
``skeletal.onnx``  ``frames`` (N, T, V, C) float32, ``lengths`` (N,) int64  ``embedding`` (N, D), ``score`` (N,) float32
other streams      ``frames`` (N, T, C) float32, ``lengths`` (N,) int64     ``embedding`` (N, D), ``score`` (N,) float32
``fusion.onnx``    ``embeddings`` (N, sum of D) float32, ``scores`` (N, M)  ``attention`` (N, M), ``fused_score`` (N,)
                   float32, ``present`` (N, M) bool                         float32
=================  ======================================================  ==========================================

Graphs that compute in float16 read ``frames`` in it. Rows of ``embeddings`` and ``scores`` for an absent modality are
zero; ``present`` is what excludes them. A stream of a modality that is not fused (``routine``) is none of the M; one
that says so in ``attention`` has a third output, ``temporal_attention`` (N, P, T) float32, zero beyond each length.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import BundleError
from schemas.escaping import shortened
from schemas.events import parts_problem
from schemas.export_profiles import UNSTATED, ExportProfile, ParitySample, Precision
from schemas.joints import LAYOUTS, layout_named
from schemas.local_files import not_json, read_file
from schemas.modalities import MODALITIES, Modality
from schemas.style_classifier import StyleClassifier
from schemas.training_distribution import DistanceMeter, TrainingDistribution
from schemas.virality_target import EQ1, FittedTarget, generation_name

SYNTHETIC_CLIPS: Final = "synthetic clips"
SYNTHETIC_WARNING: Final = "The model was trained on synthetic clips: its scores say nothing about real dances."
MANIFEST_NAME: Final = "bundle.json"
_MAX_QUOTED: Final = 80
FIRST_FORMAT: Final = "model-bundle/1"
SECOND_FORMAT: Final = "model-bundle/2"
FORMAT: Final = "model-bundle/3"
"""What ``schema`` says in the manifests that this release writes.

It reads ``FIRST_FORMAT``, which states nothing of the training distribution, and ``SECOND_FORMAT``, which does not name
the export profile."""
SUPPORTED_OPSETS: Final = range(17, 24)

FRAMES: Final = "frames"
LENGTHS: Final = "lengths"
EMBEDDING: Final = "embedding"
SCORE: Final = "score"
EMBEDDINGS: Final = "embeddings"
SCORES: Final = "scores"
PRESENT: Final = "present"
ATTENTION: Final = "attention"
TEMPORAL_ATTENTION: Final = "temporal_attention"
FUSED_SCORE: Final = "fused_score"
# Of the gradient graphs, beside the inputs and outputs of the graph that they differentiate.
SCORE_SEED: Final = "score_seed"
EMBEDDING_SEED: Final = "embedding_seed"
FRAMES_GRADIENT: Final = "frames_gradient"
FUSED_SEED: Final = "fused_seed"
EMBEDDINGS_GRADIENT: Final = "embeddings_gradient"
SCORES_GRADIENT: Final = "scores_gradient"


class GraphFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ONNX file of the bundle: its name within the folder and the SHA-256 of its bytes (hex)."""

    file: str
    sha256: str


class StreamGraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The graph of one modality: channels C that it reads per step (and joint), width D of the embedding it gives.

    ``precision`` is what it is computed in; with another one its embeddings belong to another generation.
    ``attention`` names the parts P of the temporal attention that it gives, in order; empty where it gives none.
    """

    modality: Modality
    file: str
    sha256: str
    input_channels: int
    embedding_dim: int
    precision: Precision = Precision.FLOAT32
    attention: tuple[str, ...] = ()


class GuidanceGraphs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gradient graphs (Eq. 7). ``stream`` is the stream of ``modality``, which has joints, with its derivatives:
    ``score_seed`` (N,) and ``embedding_seed`` (N, D) say what the outputs count with, ``frames_gradient`` (N, T, V, C)
    is the derivative of that sum by the frames. ``fusion`` is the fusion likewise: ``fused_seed`` (N,),
    ``embeddings_gradient`` (N, sum of D), ``scores_gradient`` (N, M). Both compute in float32, whatever the streams
    compute in. ``agreement``: the largest difference from torch's automatic differentiation or, where they were added
    to a bundle, from central differences; relative to the largest entry of a clip's gradient.
    """

    modality: Modality
    stream: GraphFile
    fusion: GraphFile
    agreement: float


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", kw_only=True):
    """What the manifests of all formats say.

    ``generation`` identifies the embedding space: equal generations are comparable, others never are.
    ``joint_layout`` names the layout that streams of joints read (``None`` without one).
    ``training_data`` is a fingerprint of the data that the networks were trained on, which begins with
    ``SYNTHETIC_CLIPS`` if these were synthetic; ``metrics`` are what they reached.
    ``architecture`` repeats the sizes that the networks were built with, for a reader; ``opset``, the version of the
    ONNX operators that the graphs use.
    """

    generation: str
    streams: tuple[StreamGraph, ...]
    fusion: GraphFile
    opset: int
    joint_layout: str | None = None
    training_data: str = ""
    metrics: dict[str, float] = {}
    architecture: dict[str, str] = {}

    @property
    def trained_on_synthetic_clips(self) -> bool:
        """Whether what the networks learned from was made up."""
        return self.training_data.startswith(SYNTHETIC_CLIPS)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(stream.modality for stream in self.streams)

    def stream(self, modality: Modality) -> StreamGraph:
        """The stream of ``modality``; ``KeyError`` if the bundle has none."""
        for stream in self.streams:
            if stream.modality == modality:
                return stream
        raise KeyError(modality)

    def step_shape(self, modality: Modality) -> tuple[int, ...]:
        """Shape of one step of ``modality`` as its stream reads it: (V, C) for joints, else (C,)."""
        channels = self.stream(modality).input_channels
        if modality.has_joints:
            return layout_named(self.joint_layout or "").joint_count, channels
        return (channels,)

    @property
    def fused_streams(self) -> tuple[StreamGraph, ...]:
        """The streams that the fusion reads."""
        return tuple(stream for stream in self.streams if stream.modality.is_fused)

    @property
    def fused_modalities(self) -> tuple[Modality, ...]:
        return tuple(stream.modality for stream in self.fused_streams)

    @property
    def embedding_width(self) -> int:
        """Sum of the embedding widths of the streams that the fusion reads."""
        return sum(stream.embedding_dim for stream in self.fused_streams)

    def files(self) -> tuple[GraphFile, ...]:
        return (*(GraphFile(stream.file, stream.sha256) for stream in self.streams), self.fusion)


class _FirstManifest(_Manifest, frozen=True, tag=FIRST_FORMAT):
    """A manifest of the first format."""


class _SecondManifest(_Manifest, frozen=True, tag=SECOND_FORMAT, kw_only=True):
    """A manifest of the second format; ``training_distribution`` as in ``BundleManifest``."""

    training_distribution: TrainingDistribution = {}


class BundleManifest(_Manifest, frozen=True, tag=FORMAT, kw_only=True):
    """What ``bundle.json`` says; see ``_Manifest`` for what all formats have.

    ``training_distribution``: of each modality, how the clips that the model learned from are distributed
    (``schemas.training_distribution``). Without it no clip is flagged. It moves no score, so it is not part of the
    ``generation``; nor is ``profile``, how the graphs were made, which their checksums tell apart already.
    ``guidance`` is absent without a stream of joints and from earlier releases' bundles, and moves no score either.
    ``virality_target`` is what the model has learned to predict; it is absent where that is ``eq1``, so that earlier
    releases read those bundles, and refuse the others rather than take them for ``eq1``; ``target`` says it always.
    ``styles``, the classifier that names the style of a clip, is absent where there is none, for the same reason;
    ``classifier`` says it always. It moves no score and is not part of the ``generation``.
    """

    training_distribution: TrainingDistribution = {}
    virality_target: FittedTarget | msgspec.UnsetType = msgspec.UNSET
    profile: ExportProfile = UNSTATED
    guidance: GuidanceGraphs | msgspec.UnsetType = msgspec.UNSET
    styles: StyleClassifier | msgspec.UnsetType = msgspec.UNSET

    def gradient_files(self) -> tuple[GraphFile, ...]:
        """The gradient graphs, if there are any."""
        if isinstance(self.guidance, msgspec.UnsetType):
            return ()
        return self.guidance.stream, self.guidance.fusion

    @property
    def target(self) -> FittedTarget:
        """What the model has learned to predict."""
        return EQ1 if isinstance(self.virality_target, msgspec.UnsetType) else self.virality_target

    @property
    def classifier(self) -> StyleClassifier | None:
        """The style classifier, if the bundle has one."""
        return None if isinstance(self.styles, msgspec.UnsetType) else self.styles


_EARLIER: Final[dict[str, type[_Manifest]]] = {FIRST_FORMAT: _FirstManifest, SECOND_FORMAT: _SecondManifest}


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle. ``graphs`` maps file names to the ONNX bytes that matched their checksums, gradient graphs and
    the style classifier's too; ``sample`` is the content of the manifest's parity sample, ``None`` if it has none.
    """

    manifest: BundleManifest
    graphs: dict[str, bytes]
    sample: bytes | None = None


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def generation_of(manifest: BundleManifest) -> str:
    """Content hash of everything that moves a number: graphs, their precision and the joint layout. 16 hex digits,
    behind the name of the target where that is not ``eq1``, so that scores of two targets are told apart wherever they
    come.
    """
    content = msgspec.json.encode([manifest.joint_layout, manifest.streams, manifest.fusion], order="deterministic")
    return generation_name(manifest.target.target, sha256_hex(content)[:16])


def read_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle.

    Raises ``BundleError`` naming the file: manifest absent, malformed or of another format, streams out of order,
    unsupported opset, a graph missing, outside the folder or with a changed byte, or a generation that is not the
    content's. One that is changed meanwhile (``exporters.onnx.bundle_folders``) is read as it is then.
    """
    manifest = read_manifest(folder)
    while True:
        try:
            return _read_listed(folder, manifest)
        except BundleError:
            before, manifest = manifest, read_manifest(folder)
            if manifest == before:
                raise


def _read_listed(folder: Path, manifest: BundleManifest) -> Bundle:
    graphs = {entry.file: read_listed_file(folder, entry) for entry in (*manifest.files(), *manifest.gradient_files())}
    if (styles := manifest.classifier) is not None:
        graphs[styles.file] = read_listed_file(folder, GraphFile(styles.file, styles.sha256))
    sample = manifest.profile.sample
    return Bundle(manifest, graphs, None if sample is None else read_listed_file(folder, sample))


def read_manifest(folder: Path) -> BundleManifest:
    """What a bundle says of itself, without its graphs. Raises ``BundleError`` as ``read_bundle`` does."""
    path = folder / MANIFEST_NAME
    try:
        raw = read_file(path)
    except OSError as error:
        raise BundleError(f"{path}: no readable manifest ({error.strerror}); is {folder} a bundle?") from error
    manifest = _decode_manifest(raw, path)
    _check_manifest(manifest, path)
    return manifest


class _Format(msgspec.Struct):
    schema: str | None = None


def _decode_manifest(raw: bytes, path: Path) -> BundleManifest:
    remedy = "export the checkpoint again with this release, or install the release that wrote the bundle"
    read = f"{FIRST_FORMAT!r} to {FORMAT!r}"
    if (problem := not_json(raw)) is not None:
        raise BundleError(f"{path}: {problem}; copy the whole bundle again, or export it again")
    try:
        found = msgspec.json.decode(raw, type=_Format).schema
        if found is not None and found not in (*_EARLIER, FORMAT):
            raise BundleError(f"{path}: the bundle has format {found[:64]!r}, this release reads {read}; {remedy}")
        _refuse_unknown_modalities(raw, path)
        if found is None or found not in _EARLIER:
            return msgspec.json.decode(raw, type=BundleManifest)
        earlier = msgspec.json.decode(raw, type=_EARLIER[found])
        return BundleManifest(**{name: getattr(earlier, name) for name in earlier.__struct_fields__})
    except msgspec.ValidationError as error:
        raise BundleError(f"{path}: {shortened(str(error))}; this release reads {read}; {remedy}") from error


class _NamedStream(msgspec.Struct):
    modality: str


class _Streams(msgspec.Struct):
    streams: tuple[_NamedStream, ...]


def _refuse_unknown_modalities(raw: bytes, path: Path) -> None:
    named = [stream.modality for stream in msgspec.json.decode(raw, type=_Streams).streams]
    if unknown := [name for name in named if name not in MODALITIES]:
        shown = shortened(", ".join(map(repr, unknown)), _MAX_QUOTED)
        raise BundleError(
            f"{path}: this release does not know {shown}, only {', '.join(MODALITIES)}, and the fusion needs every "
            "stream; install the package that adds the modality, upgrade, or export without it"
        )


def _check_manifest(manifest: BundleManifest, path: Path) -> None:
    order = [MODALITIES.index(modality) for modality in manifest.modalities]
    if not order or order != sorted(set(order)):
        raise BundleError(f"{path}: streams must be distinct, at least one, and in the order {', '.join(MODALITIES)}")
    if not manifest.fused_streams:
        raise BundleError(f"{path}: at least one stream must be of a modality that the fusion reads; export it again")
    for stream in manifest.streams:
        if (problem := parts_problem(stream.attention)) is not None:
            raise BundleError(f"{path}: attention of {stream.modality}: {problem}; export the bundle again")
    if manifest.opset not in SUPPORTED_OPSETS:
        first, last = SUPPORTED_OPSETS[0], SUPPORTED_OPSETS[-1]
        raise BundleError(f"{path}: opset {manifest.opset} is not supported; this release reads {first} to {last}")
    if any(m.has_joints for m in manifest.modalities) != (manifest.joint_layout is not None):
        raise BundleError(f"{path}: a stream of joints and a joint_layout go together; export the bundle again")
    if manifest.joint_layout is not None and manifest.joint_layout not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise BundleError(
            f"{path}: joint_layout {shortened(repr(manifest.joint_layout), _MAX_QUOTED)} is unknown; "
            f"this release reads {known}"
        )
    for modality, distribution in manifest.training_distribution.items():
        try:
            DistanceMeter(modality, distribution, manifest.step_shape(modality))
        except (KeyError, ValueError) as error:
            raise BundleError(
                f"{path}: training_distribution of {modality}: {shortened(str(error))}; export the bundle again with "
                "this release"
            ) from error
    guided = manifest.guidance
    if not isinstance(guided, msgspec.UnsetType) and not (
        guided.modality.has_joints and guided.modality in manifest.modalities
    ):
        raise BundleError(
            f"{path}: guidance of {guided.modality}, which is not a stream of joints of this bundle; run "
            "`dancerank add-guidance`, or export the bundle again"
        )
    styles = manifest.classifier
    problem = None if styles is None else styles.problem() or styles.problem_with(manifest.joint_layout)
    if problem is not None:
        raise BundleError(f"{path}: styles: {problem}; attach another classifier: dancerank styles attach")
    if manifest.generation != generation_of(manifest):
        raise BundleError(
            f"{path}: the generation does not match the content; the manifest was edited, export it again"
        )


def read_listed_file(folder: Path, entry: GraphFile | ParitySample, listed_in: str = MANIFEST_NAME) -> bytes:
    """A file that a manifest lists. Raises ``BundleError`` naming it: missing, outside the folder, a changed byte."""
    path = folder / entry.file
    named = shortened(str(path))
    if Path(entry.file).name != entry.file or "\0" in entry.file:
        raise BundleError(f"{named}: a bundle names files of its own folder only")
    try:
        content = read_file(path)
    except OSError as error:
        raise BundleError(f"{named}: listed in {listed_in} but cannot be read ({error.strerror})") from error
    if sha256_hex(content) != entry.sha256:
        raise BundleError(
            f"{named}: checksum mismatch; the file was changed after export, copy or export the bundle again"
        )
    return content
