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


class QueryError(FinalError):
    """A request that cannot be answered as asked; ``field`` names the parameter."""

    code = "invalid_query"
    remedy = "Correct the parameter that the answer names."
    surfaces = (Surface.HTTP, Surface.COMMAND)


class NotFound(QueryError):
    """The clip, dancer, challenge or generation asked for is not known."""

    code = "not_found"
    remedy = "Check the identifier. A clip is known once it is scored and the views have read it."


class ForeignCursor(QueryError):
    """A cursor that is not of the question it came with."""

    code = "foreign_cursor"
    remedy = "Repeat the question of the page before, everything but `k`; or leave the cursor out, for the first page."
