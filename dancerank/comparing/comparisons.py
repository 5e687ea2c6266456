"""One comparison at a time, within a time: made by a child process, which can be ended and keeps no request waiting."""

import logging
import subprocess
import sys
import threading
from typing import Final

import msgspec

from dancerank.comparing.messages import Failed, Said, Task
from dancerank.policies import shipped_policy
from dancerank.settings import Settings
from ranking.pools.policy_file import parse_policy
from schemas.errors import NotOffered, QueryError, TooManyAtOnce
from schemas.questions.pool_comparisons import ComparisonAnswer, ComparisonQuestion, NamedPolicy

log = logging.getLogger(__name__)

_CHILD: Final = "dancerank.comparing.child"
_encode: Final = msgspec.json.Encoder().encode


class Comparisons:
    """``schemas.questions.pool_comparisons.PolicyComparisons`` on synthetic clips that the
    bundle of ``settings`` scores.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def examples(self) -> list[NamedPolicy]:
        """The policies that ship."""
        path = shipped_policy()
        text = path.read_text(encoding="utf-8")
        return [NamedPolicy(name=path.stem, version=parse_policy(text, path.name).version, toml=text)]

    def compare(self, question: ComparisonQuestion) -> ComparisonAnswer:
        """Raises as the port says."""
        if not self._turn.acquire(blocking=False):
            raise TooManyAtOnce("another comparison of policies is being made here; one at a time is")
        try:
            return self._made(question)
        finally:
            self._turn.release()

    def close(self) -> None:
        """End a comparison that is being made."""
        self._closed = True
        if (child := self._child) is not None:
            child.kill()

    def _made(self, question: ComparisonQuestion) -> ComparisonAnswer:
        streamer = self._settings.streamer
        task = Task(question, str(self._settings.bundle_folder), streamer.runtime, list(streamer.providers))
        within_s = self._settings.pools.comparison_timeout_s
        command = [sys.executable, "-m", _CHILD]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            self._child = child
            try:
                if self._closed:
                    child.kill()
                said, errors = child.communicate(_encode(task), timeout=within_s)
            except subprocess.TimeoutExpired:
                child.kill()
                raise QueryError(
                    f"the comparison took longer than {within_s:g} s; ask for fewer clips, seeds or shorter policies, "
                    "or raise pools.comparison_timeout_s",
                    field="clips",
                ) from None
            finally:
                self._child = None
        if self._closed:
            raise TooManyAtOnce("the service stops")
        if child.returncode:
            log.error("a comparison of policies failed: %s", errors.decode(errors="replace")[-2000:])
            raise NotOffered("the comparison failed; the log of the service says why")
        return _answer(msgspec.json.decode(said, type=Said))


def _answer(said: Said) -> ComparisonAnswer:
    if said.answer is not None:
        return said.answer
    failed = said.failed or Failed("the comparison said nothing", is_asked_for=False)
    if failed.is_asked_for:
        raise QueryError(failed.message, field=failed.field)
    log.error("policies cannot be compared: %s", failed.message)  # it may name a path of this machine
    raise NotOffered("policies cannot be compared here; the log of the service says why")
