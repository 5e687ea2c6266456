"""Through any sequence of uploads, deletions, duplicates, damage and restarts both views agree; no record is lost."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.outcomes import fuzzed
from tests.fuzz.sequences import Sequences


@pytest.mark.tried(
    kind="two readers, two truths",
    given="scored clips, deletions, duplicates, tombstones and damaged records in any order, through restarts",
    outcome="both views hold the same clips; each record is applied, skipped or dead-lettered once",
)
def test_both_views_agree_and_every_record_is_accounted_for() -> None:
    run_state_machine_as_test(Sequences, settings=settings(fuzzed(0.2), stateful_step_count=30))
