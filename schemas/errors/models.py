"""Errors of bundles, checkpoints and generations."""

from schemas.errors.families import FinalError, RetriableError, Surface


class BundleError(FinalError):
    """A model bundle that must not be served, or cannot be written: checksum, opset, shape or manifest does not fit."""

    code = "bundle"
    remedy = "Export the bundle again, or name an intact one of this release in `bundle`."


class CheckpointError(FinalError):
    """A trained model that cannot be loaded: absent, damaged, or not what its configuration says."""

    code = "checkpoint"
    remedy = "Name an intact checkpoint of this release, or train it again."


class InferenceFailed(FinalError):
    """ONNX Runtime failed on a clip, or returned a score that is not a finite number."""

    code = "inference_failed"
    remedy = "Check the clip's features and the bundle; replay the dead letter after a change of either."
    surfaces = (Surface.DEAD_LETTER, Surface.HTTP)


class GuidanceUnavailable(FinalError):
    """Guidance asked of a bundle that has no gradient graphs."""

    code = "guidance_unavailable"
    remedy = "Run `dancerank add-guidance BUNDLE`, or export the checkpoint again with this release."
    surfaces = (Surface.COMMAND,)


class GenerationMismatch(FinalError):
    """Embeddings of another model generation: their space cannot be compared with this index."""

    code = "generation_mismatch"
    remedy = "Export one bundle per generation; the message names the two that differ."
    surfaces = (Surface.SKIPPED, Surface.COMMAND)


class GenerationRefused(FinalError):
    """A model generation cannot be activated, or be retired, now."""

    code = "generation_refused"
    remedy = "Do what the message says first: fill the generation, or activate another one before retiring this one."


class ExtractorModelMissing(FinalError):
    """A network that takes features from videos is not in the models' folder."""

    code = "extractor_model_missing"
    remedy = "Run `dancerank extractors fetch`, or name the folder that holds the networks: `extraction.models_folder`."


class ExtractorModelInvalid(FinalError):
    """A network for videos that cannot be used or converted: damaged, of another checksum, an unknown operation."""

    code = "extractor_model_invalid"
    remedy = "Do what the message says: fetch the network again, or import another checkpoint."


class PackageUnavailable(RetriableError):
    """A package that networks for videos come from could not be downloaded."""

    code = "package_unavailable"
    remedy = (
        "Check the network and the package index that pip (npm) is set to, or copy the models' folder from a machine "
        "that has it."
    )
