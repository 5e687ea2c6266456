"""A style classifier becomes part of a bundle, or is taken out of it; nothing that scores changes."""

from pathlib import Path

import msgspec

from schemas.bundle import MANIFEST_NAME, BundleManifest, read_bundle
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
    _write(bundle / named.file, graph)
    return _replace(bundle, manifest, msgspec.structs.replace(manifest, styles=named))


def detach_classifier(bundle: Path) -> BundleManifest:
    """Take the classifier out of a bundle. Raises ``BundleError`` if it has none."""
    manifest = read_bundle(bundle).manifest
    if manifest.classifier is None:
        raise BundleError(f"{bundle}: the bundle has no style classifier")
    return _replace(bundle, manifest, msgspec.structs.replace(manifest, styles=msgspec.UNSET))


def _replace(bundle: Path, before: BundleManifest, after: BundleManifest) -> BundleManifest:
    _write(bundle / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(after)) + b"\n")
    old, new = before.classifier, after.classifier
    if old is not None and (new is None or old.file != new.file):
        (bundle / old.file).unlink(missing_ok=True)
    return read_bundle(bundle).manifest


def _write(path: Path, content: bytes) -> None:
    """In one step, so that no reader finds half a file."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from error
