"""Feature files: bytes and headers, and what the streamer makes of them."""

import json
import struct
from random import Random
from typing import Any, Final

import numpy as np
import safetensors.numpy

from schemas.features import ClipFeatures, check_finite, check_length, decode_features, encode_features
from schemas.modalities import Modality
from tests.clips import random_features
from tests.fuzz.mutations import BYTES, as_json, bent, damaged
from tests.fuzz.outcomes import Target

FILES: Final = tuple(
    encode_features(features)
    for features in (
        random_features(3.0, modalities=(Modality.FACIAL,)),
        random_features(0.4, modalities=(Modality.SKELETAL, Modality.SCENIC), dtype=np.float32),
        random_features(0.6, modalities=(Modality.SKELETAL,), joint_layout="kinect-25", joint_channels=3),
    )
)


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


HEADERS: Final = tuple(map(_header, FILES))


def feature_file(rng: Random) -> bytes:
    """Bytes of a feature file damaged, its header bent, or values replaced."""
    kind = rng.randrange(10)
    if kind < 4:
        return damaged(rng, rng.choice(FILES), (*FILES, *BYTES))
    header, data = rng.choice(HEADERS)
    if kind < 8:
        text = as_json(bent(rng, header))
        if rng.random() < 0.1:
            text = text[:-1] + b"," + text[1:]  # each name twice
        claimed = len(text) if rng.random() < 0.95 else rng.choice((0, 1, 1 << 20, 1 << 62, (1 << 64) - 1))
        return struct.pack("<Q", claimed) + text + data
    values = bytearray(data)
    at = rng.randrange(len(values) // 4) * 4
    length = rng.choice((4, 4, 64, len(values)))
    pattern = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"\xff\x7b\xff\x7b", rng.randbytes(4)))
    values[at : at + length] = (pattern * (len(values) // 4))[: len(values[at : at + length])]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(values)


def read_features(content: bytes) -> ClipFeatures:
    """What is accepted is what the safetensors library reads, is finite, and can be written again."""
    found = decode_features(content)
    theirs = safetensors.numpy.load(content)
    assert {str(modality) for modality in found.frames} | set(found.unknown) == set(theirs)
    for modality, frames in found.frames.items():
        assert frames.shape == theirs[modality].shape
        if not found.filled_joints:
            np.testing.assert_array_equal(frames, theirs[modality])
        check_finite(modality, frames)
    check_length(found, 3.0)
    again = decode_features(encode_features(found))
    assert again.modalities == found.modalities
    return found


TARGETS: Final = (Target("feature files", feature_file, read_features, 3.0),)
