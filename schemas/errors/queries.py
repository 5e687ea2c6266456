"""Errors of questions."""

from schemas.errors.families import FinalError, RetriableError, Surface


class NotReady(RetriableError):
    """The service has not yet read enough of the log to answer."""

    code = "not_ready"
    remedy = "Ask again after `Retry-After` seconds; `/readyz` says what is missing."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class NotServedHere(FinalError):
    """This service was built without the view that answers the question."""

    code = "not_served_here"
    remedy = "Ask a process of `dancerank serve`, or build the `RankingService` with that view."
    surfaces = (Surface.HTTP,)


class NotOffered(FinalError):
    """This installation lacks what the question needs: a bundle that can be run, networks for videos, or a package."""

    code = "not_offered"
    remedy = "Do what the message says: install what it names, or set it; then start the process again."
    surfaces = (Surface.HTTP,)


class TooManyAtOnce(RetriableError):
    """As many requests of this kind as the settings allow are being answered or wait."""

    code = "too_many_at_once"
    remedy = "Try again after `Retry-After` seconds, or raise the setting that the message names, if it names one."
    surfaces = (Surface.HTTP,)


class FileNotStored(RetriableError):
    """A file that came with a request could not be written to the temporary folder of this machine."""

    code = "file_not_stored"
    remedy = "Free space in the temporary folder (`TMPDIR`) of the machine that serves."
    surfaces = (Surface.HTTP,)


class QueryError(FinalError):
    """A request that cannot be answered as asked; ``field`` names the parameter."""

    code = "invalid_query"
    remedy = "Correct the parameter that the answer names."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class NotFound(QueryError):
    """The clip, dancer, challenge or generation asked for is not known."""

    code = "not_found"
    remedy = "Check the identifier. A clip is known once it is scored and the views have read it."


class GuidanceMissing(NotFound):
    """Tips asked for where no clip has guidance."""

    code = "guidance_missing"
    remedy = (
        "Score clips with a skeleton by a bundle that has gradient graphs (`dancerank inspect BUNDLE`), with "
        "`streamer.guidance_share` above 0. Clips scored before count once they are scored again."
    )


class MomentsMissing(NotFound):
    """The moments of a clip asked for that is not a routine, or whose stream gave no attention over time."""

    code = "moments_missing"
    remedy = (
        "Ask for clips longer than 60 s, scored by a bundle that has the stream `routine` (`dancerank inspect BUNDLE`)."
    )


class FeaturesNotKept(NotFound):
    """A clip is known, and its features cannot be read again: they came inline, or are no longer where they were."""

    code = "features_not_kept"
    remedy = (
        "Upload clips by the URI of their features and keep the files, or send the features to `POST /v1/guidance`."
    )


class ForeignCursor(QueryError):
    """A cursor that is not of the question it came with."""

    code = "foreign_cursor"
    remedy = "Repeat the question of the page before, everything but `k`; or leave the cursor out, for the first page."
