"""The stream ``routine`` becomes part of a bundle, or is taken out of it; all other graphs stay byte for byte."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import safetensors.numpy
from numpy.typing import NDArray

from exporters.onnx.bundle_folders import change_bundle, check_bundle_folder, listed_files
from schemas.bundle import (
    MANIFEST_NAME,
    Bundle,
    BundleManifest,
    StreamGraph,
    generation_of,
    read_bundle,
    sha256_hex,
)
from schemas.errors import BundleError
from schemas.export_profiles import ExportProfile, ParitySample
from schemas.modalities import MODALITIES, Modality
from schemas.routine_network import CHANNELS, CORRELATION, ReadNetwork, RoutineNetwork, read_routine_network

FACTS: Final = "routine."
"""Prefix of what a manifest's architecture says of the network."""
PARAMETERS: Final = f"parameters.{Modality.ROUTINE}"
_AGREEMENT: Final = f"{Modality.ROUTINE} "
_DIGITS: Final = 16

Tensors = Mapping[str, NDArray[Any]]


def attach_routines(bundle: Path, network: Path, *, out: Path | None = None) -> BundleManifest:
    """Make the network in the folder ``network`` the stream ``routine`` of a bundle, in the place of any other.

    ``out``: the folder of a new bundle, by default ``bundle`` itself. The generation changes. The stream is in float32,
    whatever the profile of the others. A reader finds the bundle as it was or as it will be. Raises ``BundleError`` if
    either cannot be read, if their graphs are of different opsets, or if ``out`` exists.
    """
    read = read_bundle(bundle)
    found = read_routine_network(network)
    if found.described.opset != read.manifest.opset:
        raise BundleError(
            f"{network}: its graph has opset {found.described.opset}, those of {bundle} have {read.manifest.opset}; "
            "export the bundle with this release, and train the network with it"
        )
    manifest, sample = _with(_without(read), found)
    added = {manifest.stream(Modality.ROUTINE).file: found.graph, _sample_of(manifest).file: sample}
    return _changed(bundle, read, manifest, added, out)


def detach_routines(bundle: Path, *, out: Path | None = None) -> BundleManifest:
    """Take the stream ``routine`` out of a bundle, whose generation changes; ``out`` as above.

    Raises ``BundleError`` if it has none, or if ``out`` exists.
    """
    read = read_bundle(bundle)
    if Modality.ROUTINE not in read.manifest.modalities:
        raise BundleError(f"{bundle}: the bundle has no stream {Modality.ROUTINE}")
    rest = _without(read)
    manifest = rest.manifest
    added = {} if rest.sample is None else {_sample_of(manifest).file: rest.sample}
    return _changed(bundle, read, manifest, added, out)


def _changed(
    bundle: Path, read: Bundle, manifest: BundleManifest, added: Mapping[str, bytes], out: Path | None
) -> BundleManifest:
    if out is None:
        return change_bundle(bundle, read.manifest, manifest, added)
    check_bundle_folder(out, overwrite=False)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            staged = Path(scratch) / "bundle"
            staged.mkdir()
            for name in (*sorted(listed_files(read.manifest)), MANIFEST_NAME):
                (staged / name).write_bytes((bundle / name).read_bytes())
            changed = change_bundle(staged, read.manifest, manifest, added)
            staged.rename(out)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
    return changed


def _with(bundle: Bundle, found: ReadNetwork) -> tuple[BundleManifest, bytes]:
    """The manifest of ``bundle``, which has no stream of routines, with that of ``found``; the parity sample of all."""
    manifest, network = bundle.manifest, found.described
    stream = StreamGraph(
        modality=Modality.ROUTINE,
        file=f"{Modality.ROUTINE}-{network.sha256[:_DIGITS]}.onnx",
        sha256=network.sha256,
        input_channels=CHANNELS,
        embedding_dim=network.embedding_dim,
        attention=network.attention,
    )
    tensors = safetensors.numpy.load(found.sample)
    if bundle.sample is not None:
        tensors = safetensors.numpy.load(bundle.sample) | tensors
    before = manifest.profile.sample
    limits = (network.sample.score, network.sample.embedding)
    if before is not None:
        limits = (before.score | limits[0], before.embedding | limits[1])
    content, sample = _sampled(tensors, *limits)
    agreement = {f"{_AGREEMENT}{name}": difference for name, difference in network.agreement.items()}
    profile = msgspec.structs.replace(manifest.profile, agreement=manifest.profile.agreement | agreement, sample=sample)
    stated = {} if network.distribution is None else {Modality.ROUTINE: network.distribution}
    streams = sorted((*manifest.streams, stream), key=lambda each: MODALITIES.index(each.modality))
    return _renamed(
        manifest,
        streams=tuple(streams),
        profile=profile,
        architecture=manifest.architecture | _facts(network),
        metrics=manifest.metrics | network.metrics,
        training_distribution=manifest.training_distribution | stated,
    ), content


def _without(bundle: Bundle) -> Bundle:
    """``bundle`` without its stream of routines, if it has one."""
    manifest = bundle.manifest
    if Modality.ROUTINE not in manifest.modalities:
        return bundle
    profile, content = _profile_without(manifest.profile, bundle.sample)
    described = manifest.architecture.items()
    changed = _renamed(
        manifest,
        streams=tuple(stream for stream in manifest.streams if stream.modality != Modality.ROUTINE),
        profile=profile,
        architecture={key: text for key, text in described if key != PARAMETERS and not key.startswith(FACTS)},
        metrics={name: value for name, value in manifest.metrics.items() if name != CORRELATION},
        training_distribution={
            modality: stated
            for modality, stated in manifest.training_distribution.items()
            if modality != Modality.ROUTINE
        },
    )
    return Bundle(changed, bundle.graphs, content)


def _profile_without(profile: ExportProfile, content: bytes | None) -> tuple[ExportProfile, bytes | None]:
    agreement = {name: value for name, value in profile.agreement.items() if not name.startswith(_AGREEMENT)}
    sample = profile.sample
    if sample is not None and content is not None and Modality.ROUTINE in sample.score:
        tensors = safetensors.numpy.load(content)
        kept = {name: each for name, each in tensors.items() if not name.startswith(f"{Modality.ROUTINE}.")}
        score, embedding = dict(sample.score), dict(sample.embedding)
        del score[Modality.ROUTINE], embedding[Modality.ROUTINE]
        content, sample = _sampled(kept, score, embedding) if kept else (None, None)
    return msgspec.structs.replace(profile, agreement=agreement, sample=sample), content


def _facts(network: RoutineNetwork) -> dict[str, str]:
    facts = {**network.architecture, "score_range": str(network.score_range), "trained_on": network.training_data}
    return {f"{FACTS}{name}": text for name, text in facts.items()} | {PARAMETERS: str(network.parameters)}


def _sampled(
    tensors: Tensors, score: dict[Modality, float], embedding: dict[Modality, float]
) -> tuple[bytes, ParitySample]:
    content = safetensors.numpy.save(dict(tensors))
    digest = sha256_hex(content)
    return content, ParitySample(f"sample-{digest[:_DIGITS]}.safetensors", digest, score, embedding)


def _sample_of(manifest: BundleManifest) -> ParitySample:
    sample = manifest.profile.sample
    if sample is None:
        raise BundleError("the bundle has no parity sample; export it again")
    return sample


def _renamed(manifest: BundleManifest, **changes: Any) -> BundleManifest:
    """``manifest`` with ``changes``, and the generation that goes with them."""
    changed = msgspec.structs.replace(manifest, **changes)
    return msgspec.structs.replace(changed, generation=generation_of(changed))
