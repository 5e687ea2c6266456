"""Run the tests that failed in the last run once more, alone: ``python -m tests.second_run``.

What fails twice fails. What passes alone is flaky: it is listed, for it is a fault of the test or of the product all
the same. More than ``AT_MOST`` failures are not run again.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

AT_MOST: Final = 5
LONGEST_REASON: Final = 300
LAST_FAILED: Final = Path(".pytest_cache", "v", "cache", "lastfailed")
REPORT: Final = Path(".pytest_cache", "first-run.xml")
"""What ``pytest --junitxml`` wrote of the run before."""


def main() -> int:
    say = partial(print, file=sys.stderr, flush=True)
    failed = list(json.loads(LAST_FAILED.read_text(encoding="utf-8"))) if LAST_FAILED.exists() else []
    if not failed:
        say("no test is known to have failed: pytest itself did")
        return 1
    if len(failed) > AT_MOST:
        say(f"{len(failed)} tests failed, more than the {AT_MOST} that are run a second time")
        return 1
    say(f"==> {len(failed)} failed; once more, alone")
    twice = [test for test in failed if subprocess.run([sys.executable, "-m", "pytest", "-q", test]).returncode != 0]
    why = reasons()
    for test in failed:
        say(f"{'FAILED TWICE' if test in twice else 'FLAKY (failed once, passed alone)'}: {test}")
        # The first failure may be far above, and the second run of a flaky test has none.
        say(f"    at first: {why.get(test, 'no report')}")
    return 1 if twice else 0


def reasons() -> Mapping[str, str]:
    """The beginnings of the messages in ``REPORT``, by test."""
    if not REPORT.exists():
        return {}
    found = {}
    for case in Xml.parse(REPORT).iter("testcase"):
        test = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        for problem in (*case.iter("failure"), *case.iter("error")):
            found[test] = " ".join(problem.get("message", "").split())[:LONGEST_REASON]
    return found


if __name__ == "__main__":
    sys.exit(main())
