"""What a bundle's streams may be run in and on, the same in every runtime that ships."""

from collections.abc import Collection

from schemas.bundle import Bundle, BundleManifest
from schemas.errors import BundleError, InferenceFailed
from schemas.export_profiles import Precision
from schemas.modalities import Modality
from schemas.ports import Int64


def check_precisions(bundle: Bundle, able: Collection[Precision], runtime: str, remedy: str) -> None:
    """Raise ``BundleError`` if a stream is to be computed in something that ``runtime`` is not ``able`` to compute in.

    Computed in another precision its embeddings would belong to another generation.
    """
    lacking = [stream for stream in bundle.manifest.streams if stream.precision not in able]
    if lacking:
        names, precisions = (
            ", ".join(sorted({*values}))
            for values in ((stream.modality for stream in lacking), (stream.precision for stream in lacking))
        )
        raise BundleError(
            f"the bundle is of the profile {bundle.manifest.profile.name} and computes {names} in {precisions}, which "
            f"{runtime} cannot; {remedy}"
        )


def check_steps(manifest: BundleManifest, modality: Modality, lengths: Int64) -> None:
    """Raise ``InferenceFailed`` for a clip that is longer than any that the stream in fewer bits was checked on."""
    longest = manifest.profile.longest.get(modality)
    if longest is not None and lengths.size and int(lengths.max()) > longest:
        raise InferenceFailed(
            f"{modality}: {int(lengths.max())} steps, and the profile {manifest.profile.name} of this bundle was "
            f"checked on clips of up to {longest} ({longest / modality.rate_hz:g} s); export it with longer clips in "
            "--calibrate-on, or with --profile fast",
            field=modality,
        )
