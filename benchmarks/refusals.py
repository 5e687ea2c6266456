"""What a benchmark cannot read ends it with a sentence that names the file and the remedy."""

import functools
from collections.abc import Callable

from schemas.errors import DancerankError


def ends_with_a_sentence(main: Callable[[], None]) -> Callable[[], None]:
    """``main``, which exits with the message of an error that its user can mend, in place of a traceback."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except DancerankError as error:
            raise SystemExit(f"error ({error.code}): {error.message}") from error

    return run
