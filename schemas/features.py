"""Feature files: one safetensors file per clip, tensors named by modality, metadata that says how they were made.

Legend: T time steps (differs between modalities), V joints, C channels. ``skeletal`` is (T, V, C), the others (T, C);
float16 or float32. C of the others is what the clip's extractors give; a bundle says which C each of its streams reads.
Metadata (all strings): ``schema`` = ``clip-features/1``, ``joint_layout`` (with ``skeletal``),
``frame_rate_hz.<modality>`` for every tensor and, optionally, ``extractor.<modality>``.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy

from schemas.arrays.magnitude import greatest_magnitude
from schemas.errors import (
    FeatureError,
    FeatureFileCorrupt,
    FeatureFileOversized,
    FeatureShapeInvalid,
    FeatureValueInvalid,
    NoUsableModality,
)
from schemas.escaping import shortened
from schemas.joints import LAYOUTS
from schemas.missing_joints import fill_missing, missing_joints
from schemas.modalities import MODALITIES, MODALITY_NAME, Modality

FEATURES_SCHEMA: Final = "clip-features/1"
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
MAX_CHANNELS: Final = 16_384
"""Widest feature of one step: eight times the paper's."""

_HEADER_LENGTH_BYTES: Final = 8
_DTYPES: Final[dict[str, np.dtype[Any]]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_FRAME_RATE_TOLERANCE: Final = 0.02
_LENGTH_TOLERANCE: Final = 0.1
_LENGTH_SLACK_S: Final = 1.0
_MAX_QUOTED: Final = 80

Frames = npt.NDArray[np.float16] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClipFeatures:
    """The features of one clip, verified. ``frames`` holds only the modalities that the clip has.

    ``unknown`` names tensors of the file whose modality this release does not know; they were not read.
    ``filled_joints`` is the share of the pose's joint positions that were missing and have been interpolated;
    ``missing`` (T, V) says which, ``None`` where none was.
    """

    frames: dict[Modality, Frames]
    joint_layout: str | None = None
    extractors: dict[Modality, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    filled_joints: float = 0.0
    missing: npt.NDArray[np.bool_] | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(m for m in MODALITIES if m in self.frames)

    @property
    def widths(self) -> dict[Modality, int]:
        """C of each modality without joints."""
        return {m: self.frames[m].shape[1] for m in self.modalities if not m.has_joints}


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of the header; ``data_offsets`` count from the end of the header."""

    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data_offsets: tuple[int, int]


_ENTRIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_METADATA: Final = msgspec.json.Decoder(dict[str, str])
_TENSOR: Final = msgspec.json.Decoder(_Tensor)


def encode_features(features: ClipFeatures) -> bytes:
    """The bytes of a feature file at the nominal frame rates; equal features give equal bytes. Raises what
    ``decode_features`` would raise on reading them.
    """
    metadata = {"schema": FEATURES_SCHEMA}
    metadata |= {f"frame_rate_hz.{m}": f"{m.rate_hz:g}" for m in features.modalities}
    metadata |= {f"extractor.{m}": version for m, version in features.extractors.items()}
    if features.joint_layout is not None:
        metadata["joint_layout"] = features.joint_layout
    tensors = {str(m): np.ascontiguousarray(features.frames[m]) for m in features.modalities}
    content = _in_order(safetensors.numpy.save(tensors, metadata))
    decode_features(content)
    return content


def _in_order(content: bytes) -> bytes:
    """The same file with the keys of its header sorted: the library writes the metadata in random order."""
    end = _HEADER_LENGTH_BYTES + int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    header = msgspec.json.encode(msgspec.json.decode(content[_HEADER_LENGTH_BYTES:end]), order="sorted")
    header += b" " * (-len(header) % _HEADER_LENGTH_BYTES)  # as the format aligns the data
    return b"".join((len(header).to_bytes(_HEADER_LENGTH_BYTES, "little"), header, content[end:]))


def decode_features(content: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ClipFeatures:
    """Read and verify a feature file. Arrays keep the file's float type; they are read-only views of ``content``,
    except a pose with undetected joints, which are interpolated as ``schemas.missing_joints`` says.

    A tensor of a modality that this release does not know is left out and named in ``unknown``; it has to lie in the
    file as the format demands. Raises ``FeatureFileOversized``, ``FeatureFileCorrupt``, ``FeatureShapeInvalid``,
    ``FeatureValueInvalid`` or ``NoUsableModality``, naming the tensor or metadata key.
    """
    if len(content) > max_bytes:
        raise FeatureFileOversized(
            f"{len(content)} bytes, over the limit of {max_bytes}; shorten the clip or use float16"
        )
    header_bytes, metadata, tensors = _header(content)
    if metadata.get("schema") != FEATURES_SCHEMA:
        raise FeatureFileCorrupt(
            f"metadata 'schema' is {metadata.get('schema', 'absent')[:_MAX_QUOTED]!r}, expected {FEATURES_SCHEMA!r}",
            field="schema",
        )
    if not tensors:
        raise NoUsableModality(f"the file holds no tensor; expected at least one of {', '.join(MODALITIES)}")
    arrays = {name: _array(name, tensor, metadata, content, header_bytes) for name, tensor in tensors.items()}
    unknown = tuple(sorted(arrays.keys() - set(MODALITIES)))
    frames = {Modality(name): array for name, array in arrays.items() if name in MODALITIES}
    _check_layout(tensors, len(content) - header_bytes)
    if not frames:
        raise NoUsableModality(
            f"the file holds only {', '.join(unknown)[:_MAX_QUOTED]}; this release knows {', '.join(MODALITIES)}"
        )
    for modality, array in frames.items():
        check_finite(modality, array)
    extractors = {m: metadata[key] for m in frames if (key := f"extractor.{m}") in metadata}
    layout = metadata.get("joint_layout") if any(m.has_joints for m in frames) else None
    filled_joints, missing = 0.0, None
    for modality in [m for m in frames if m.has_joints]:
        joints = LAYOUTS[layout or ""]
        found = missing_joints(frames[modality], joints)
        if found.any():
            filled_joints, missing = float(found.mean()), found
            frames[modality] = fill_missing(frames[modality], found, joints.joints, modality.rate_hz)
    in_order = {m: frames[m] for m in MODALITIES if m in frames}
    return ClipFeatures(in_order, layout, extractors, unknown, filled_joints, missing)


def _header(content: bytes) -> tuple[int, dict[str, str], dict[str, _Tensor]]:
    """The offset of the data, the metadata and the tensors. Parsed here because the library copies every tensor."""
    end = _HEADER_LENGTH_BYTES + int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    if len(content) < max(end, _HEADER_LENGTH_BYTES):
        raise FeatureFileCorrupt(f"truncated: {len(content)} bytes do not hold the safetensors header; write it again")
    header = content[_HEADER_LENGTH_BYTES:end]
    try:
        if not header.startswith(b"{"):
            raise msgspec.ValidationError("it does not begin with a brace")
        entries = _ENTRIES.decode(header)
        # Of two entries msgspec silently takes the last, so that what it writes is shorter than what it has read.
        if msgspec.json.encode(msgspec.json.decode(header)) != header.rstrip(b" "):
            json.loads(header, object_pairs_hook=_each_once)
        metadata = _METADATA.decode(entries.pop("__metadata__", b"{}"))
        return end, metadata, {name: _TENSOR.decode(entry) for name, entry in entries.items()}
    except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
        raise FeatureFileCorrupt(
            f"the safetensors header is unreadable ({shortened(str(error))}); write the file again"
        ) from error


def _each_once(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"{twice[:_MAX_QUOTED]!r} is named twice")


def _check_layout(tensors: dict[str, _Tensor], data_bytes: int) -> None:
    """The tensors have to fill the data one after the other, without holes, as the safetensors format demands."""
    at = 0
    for begin, end in sorted(tensor.data_offsets for tensor in tensors.values()):
        if begin != at or end < begin:
            raise FeatureFileCorrupt(f"not a complete safetensors file: gap or overlap at byte {at}; write it again")
        at = end
    if at != data_bytes:
        raise FeatureFileCorrupt(
            f"not a complete safetensors file: {at} bytes of data described, {data_bytes} there; write it again"
        )


def _array(name: str, tensor: _Tensor, metadata: dict[str, str], content: bytes, header_bytes: int) -> Frames:
    if not MODALITY_NAME.fullmatch(name):
        quoted = name[:_MAX_QUOTED]
        raise FeatureShapeInvalid(
            f"tensor {quoted!r} does not name a modality; expected {', '.join(MODALITIES)}", field=quoted
        )
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise FeatureShapeInvalid(f"tensor {name!r} is {tensor.dtype[:_MAX_QUOTED]}; save it as F16 or F32", field=name)
    if name in MODALITIES:
        _check_rate(Modality(name), metadata)
        _check_shape(Modality(name), tensor.shape, metadata.get("joint_layout"))
    begin, end = tensor.data_offsets
    count = math.prod(tensor.shape)
    if not 0 <= begin <= end <= len(content) - header_bytes or end - begin != count * dtype.itemsize:
        raise FeatureFileCorrupt(
            f"not a complete safetensors file: tensor {name!r} of shape {tensor.shape} does not lie in its bytes "
            f"{begin} to {end}; write it again",
            field=name,
        )
    array: Frames = np.frombuffer(content, dtype, count, header_bytes + begin).reshape(tensor.shape)
    return array


def _check_rate(modality: Modality, metadata: dict[str, str]) -> None:
    key = f"frame_rate_hz.{modality}"
    nominal = modality.rate_hz
    try:
        rate = float(metadata[key])
    except (KeyError, ValueError):
        raise FeatureShapeInvalid(
            f"metadata {key!r} must give the frame rate as a number, here {nominal:g}", field=key
        ) from None
    if not abs(rate - nominal) <= _FRAME_RATE_TOLERANCE * nominal:
        raise FeatureShapeInvalid(f"{key} is {rate:g}; resample {modality} to {nominal:g} Hz", field=key)


def _check_shape(modality: Modality, shape: tuple[int, ...], joint_layout: str | None) -> None:
    if modality.has_joints:
        layout = LAYOUTS.get(joint_layout or "")
        if layout is None:
            raise FeatureShapeInvalid(
                f"metadata 'joint_layout' is {(joint_layout or 'absent')[:_MAX_QUOTED]!r}; "
                f"expected one of {', '.join(LAYOUTS)}",
                field="joint_layout",
            )
        expected = f"(T, {layout.joint_count}, {' or '.join(map(str, layout.channel_counts))})"
        fits = len(shape) == 3 and shape[1] == layout.joint_count and shape[2] in layout.channel_counts
    else:
        expected = f"(T, C) with C from 1 to {MAX_CHANNELS}, by default {modality.channels}"
        fits = len(shape) == 2 and 1 <= shape[1] <= MAX_CHANNELS
    if not fits:
        found = str(shape)[:_MAX_QUOTED]
        raise FeatureShapeInvalid(f"tensor {str(modality)!r} has shape {found}; expected {expected}", field=modality)
    longest = round(modality.longest_s * modality.rate_hz * (1 + _FRAME_RATE_TOLERANCE)) + 1
    if not 1 <= shape[0] <= longest:
        raise FeatureShapeInvalid(
            f"tensor {str(modality)!r} has {shape[0]} time steps; expected 1 to {longest} (leave out what is absent)",
            field=modality,
        )


def check_length(features: ClipFeatures, duration_s: float) -> None:
    """Raise ``FeatureShapeInvalid``, naming the tensor, if it lasts longer than the clip, of ``duration_s`` seconds:
    by more than 10 % and one second, for containers round their durations.
    """
    longest_s = duration_s * (1 + _LENGTH_TOLERANCE) + _LENGTH_SLACK_S
    for modality, frames in features.frames.items():
        length_s = len(frames) / modality.rate_hz
        if length_s > longest_s:
            raise FeatureShapeInvalid(
                f"tensor {str(modality)!r} lasts {length_s:g} s and duration_s is {duration_s:g}; at most "
                f"{longest_s:g} s are accepted: correct duration_s or extract the clip's own features",
                field=modality,
            )


def check_finite(modality: Modality, array: Frames) -> None:
    """Raise ``FeatureValueInvalid``, naming the first bad time step, if a value is NaN or infinite."""
    if not math.isfinite(greatest_magnitude(array)):
        step = int(np.argwhere(~np.isfinite(array))[0][0])
        raise FeatureValueInvalid(
            f"tensor {str(modality)!r} holds NaN or an infinity, first at step {step}; leave out what failed",
            field=modality,
        )


__all__ = [
    "DEFAULT_MAX_BYTES",
    "FEATURES_SCHEMA",
    "MAX_CHANNELS",
    "ClipFeatures",
    "FeatureError",
    "Frames",
    "check_finite",
    "check_length",
    "decode_features",
    "encode_features",
]
