"""Errors of an upload: its event, its features and the store that holds them."""

from schemas.errors.families import FinalError, RetriableError, Surface


class MalformedEvent(FinalError):
    """Bytes that are not an event, or an event with a missing, mistyped or out-of-range field."""

    code = "malformed_event"
    remedy = "Correct the producer, then replay the dead letter with `dancerank dead-letters replay --value FILE`."
    surfaces = (Surface.DEAD_LETTER, Surface.SKIPPED)


class UnknownSchemaVersion(FinalError):
    """A well-formed event of a schema or version that this release cannot read."""

    code = "unknown_schema_version"
    remedy = "Upgrade the process that reads the topic, then replay its dead letters."
    surfaces = (Surface.DEAD_LETTER, Surface.SKIPPED)


class FeatureError(FinalError):
    """Base of what can be wrong with a clip's features; a store that does not answer is ``FeatureStoreUnavailable``."""

    code = "features"
    remedy = "See the class that was raised."
    surfaces = (Surface.DEAD_LETTER, Surface.HTTP)


class FeatureFileMissing(FeatureError):
    """The URI names nothing that can be read."""

    code = "feature_file_missing"
    remedy = "Write the file where the upload says, readable for the streamer, then replay the dead letter."


class FeatureFileForbidden(FeatureError):
    """The URI leads outside the allowed roots, or uses a scheme that is not allowed."""

    code = "feature_file_forbidden"
    remedy = "Upload from an allowed root, or add the root to `streamer.feature_roots`; then replay the dead letter."


class FeatureFileOversized(FeatureError):
    """The file is larger than the configured limit; it was not read."""

    code = "feature_file_oversized"
    remedy = "Shorten the clip or write float16, or raise `streamer.max_feature_bytes`; then replay the dead letter."


class FeatureFileCorrupt(FeatureError):
    """The bytes are not a complete safetensors file, or do not match the checksum in the upload."""

    code = "feature_file_corrupt"
    remedy = "Write the file again, or send the right checksum; then replay the dead letter."


class FeatureShapeInvalid(FeatureError):
    """A tensor has a wrong rank, width, dtype or joint layout, no frames, or too many."""

    code = "feature_shape_invalid"
    remedy = "Extract the features as `docs/data.md` describes them and upload the clip again."


class FeatureValueInvalid(FeatureError):
    """A tensor holds NaN or an infinity, or joints that are undetected for too long to be interpolated."""

    code = "feature_value_invalid"
    remedy = "Extract the features again, with all joints and without NaN and infinities, and upload the clip again."


class FeaturesImplausible(FeatureError):
    """Features that no recording of a person gives: nothing moves, steps are repeated, most of the clip is missing."""

    code = "features_implausible"
    remedy = (
        "Extract the features from the clip itself; `docs/decisions/0029-plausible-features.md` gives each rule with "
        "its limit."
    )


class NoUsableModality(FeatureError):
    """The clip has none of the modalities that the model bundle scores."""

    code = "no_usable_modality"
    remedy = "Extract at least one modality of the bundle (`dancerank inspect` lists them) and upload the clip again."


class SkeletonMissing(FeatureError):
    """Feedback about the movement of a clip that has no skeleton."""

    code = "skeleton_missing"
    remedy = "Send or upload the clip with `skeletal` features, or a video in which the dancer can be seen."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class ExtractorMissing(FeatureError):
    """The upload names a video, and this process has no extractor to take features from it."""

    code = "extractor_missing"
    remedy = "Set `streamer.extractor`, or upload the clip with its features; then replay the dead letter."


class ExtractionFailed(FeatureError):
    """The extractor could not take features from a video, or returned what is not a clip's features."""

    code = "extraction_failed"
    remedy = "Look at the video and at the extractor's log, then replay the dead letter or upload the clip again."


class VideoUnreadable(ExtractionFailed):
    """A file that is not a video, has no video stream, is cut off, or too damaged to be decoded."""

    code = "video_unreadable"
    remedy = "Encode the video again, for example as H.264 in MP4, and upload it again; then replay the dead letter."


class VideoLengthRefused(ExtractionFailed):
    """A video that is shorter or longer than a clip may be."""

    code = "video_length"
    remedy = "Cut the video to a clip of 3 to 60 seconds and upload that; upload longer routines with features."


class VideoOversized(ExtractionFailed):
    """A video with more bytes or pixels than the settings allow, or that needs more memory to be decoded."""

    code = "video_oversized"
    remedy = "Scale the video down, or raise the setting under `[extraction]` that the message names."


class DecoderEnded(ExtractionFailed):
    """The process that decoded a video crashed, took too long, or stopped making progress."""

    code = "decoder_ended"
    remedy = "Encode the video again and upload that; the limits are under `[extraction]`. Others are not affected."


class DecoderUnavailable(RetriableError):
    """The process that decodes a video could not be started: this machine has no memory or no process to give."""

    code = "decoder_unavailable"
    remedy = "Nothing if it passes; otherwise lower `extraction.workers`, or raise this user's `ulimit -u`."
    surfaces = (Surface.RECONNECT, Surface.COMMAND, Surface.HTTP)


class FeatureStoreUnavailable(RetriableError):
    """The feature store did not answer; the file may well exist."""

    code = "feature_store_unavailable"
    remedy = "Nothing if it passes; otherwise check the store, the network and `streamer.store_options`."
    surfaces = (Surface.RECONNECT, Surface.COMMAND, Surface.HTTP)


class LoadingAbandoned(RetriableError):
    """The process stopped or reconnected before the features were loaded; an upload is read again."""

    code = "loading_abandoned"
    remedy = "Nothing."
    surfaces = (Surface.LOG, Surface.HTTP)
