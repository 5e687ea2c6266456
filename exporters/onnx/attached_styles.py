"""A style classifier becomes part of a bundle, or is taken out of it; nothing that scores changes."""

from pathlib import Path

import msgspec

from exporters.onnx.bundle_folders import change_bundle
from schemas.bundle import BundleManifest, read_bundle
from schemas.errors import BundleError
from schemas.style_classifier import read_classifier

_DIGITS = 16


def attach_classifier(bundle: Path, classifier: Path) -> BundleManifest:
    """Make the classifier in the folder ``classifier`` part of the bundle in ``bundle``, in the place of any other.

    The generation stays: scores and embeddings do. A reader finds the bundle as it was or as it will be. Raises
    ``BundleError`` if either cannot be read, or if the classifier cannot read the bundle's poses.
    """
    manifest = read_bundle(bundle).manifest
    described, graph = read_classifier(classifier)
    if (problem := described.problem_with(manifest.joint_layout)) is not None:
        raise BundleError(f"{classifier}: {problem}; train a classifier on poses of the bundle's layout")
    named = msgspec.structs.replace(described, file=f"styles-{described.sha256[:_DIGITS]}.onnx")
    return change_bundle(bundle, manifest, msgspec.structs.replace(manifest, styles=named), {named.file: graph})


def detach_classifier(bundle: Path) -> BundleManifest:
    """Take the classifier out of a bundle. Raises ``BundleError`` if it has none."""
    manifest = read_bundle(bundle).manifest
    if manifest.classifier is None:
        raise BundleError(f"{bundle}: the bundle has no style classifier")
    return change_bundle(bundle, manifest, msgspec.structs.replace(manifest, styles=msgspec.UNSET), {})
