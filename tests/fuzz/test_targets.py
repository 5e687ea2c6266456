"""Whatever is read is accepted, or refused by a named error: no other exception, no hang.

``DANCERANK_FUZZ_EXAMPLES`` says how many inputs a test of the usual cost tries; ``python -m benchmarks.fuzz`` tries a
million over all targets. ``test_found.py`` keeps what was found.
"""

from typing import Any

import pytest
from hypothesis import given

from tests.fuzz.outcomes import Shown, Target, fuzzed, outcome
from tests.fuzz.targets import TARGETS


@pytest.mark.tried(
    kind="importers that trust types",
    given="random and damaged AlphaPose results, tables and archives",
    outcome="a data set, or findings with file and row",
)
@pytest.mark.tried(
    kind="decoding errors",
    given="damaged events, feature files, bundles, snapshots, settings, policies and keys",
    outcome="accepted, or refused by a named error",
)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_input_is_accepted_or_refused_by_name(target: Target) -> None:
    @fuzzed(target.share)
    @given(target.inputs.map(Shown))
    def feed(shown: Shown[Any]) -> None:
        outcome(target, shown.value)

    feed()
