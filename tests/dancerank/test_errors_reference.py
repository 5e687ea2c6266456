"""Every error is retriable or final, and says what it means and what to do."""

import pytest

from dancerank.reference.errors import error_classes
from dancerank.reference.errors import reference as errors_page
from ranking.serving.api.refusals import REFUSALS
from schemas.errors import DancerankError, FinalError, RetriableError

FAMILIES = (RetriableError, FinalError)
CLASSES = [each for each in error_classes() if each not in FAMILIES]


def test_below_the_root_there_are_the_two_families_alone() -> None:
    assert {*DancerankError.__subclasses__()} == {*FAMILIES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_either_retriable_or_final_and_names_its_meaning_remedy_and_surfaces(
    kind: type[DancerankError],
) -> None:
    assert issubclass(kind, RetriableError) != issubclass(kind, FinalError)
    assert kind.__dict__["__doc__"]
    assert kind.__dict__["remedy"]
    assert kind.surfaces
    assert f"| `{kind.code}` | `{kind.__module__}.{kind.__name__}` |" in errors_page()


def test_every_code_belongs_to_one_class_or_refusal() -> None:
    codes = [kind.__dict__.get("code") for kind in CLASSES] + [each.code for each in REFUSALS]
    assert None not in codes
    assert len({*codes}) == len(codes)
