"""What sliders and address of "Who dances like this?" ask for: the page's module in Node.js, without a browser."""

import json
import subprocess
from typing import Any, Final

import pytest
from playwright._impl._driver import compute_driver_executable

from ranking.serving.api.page_routes import ROOT

FUSED: Final = ("skeletal", "holistic", "facial", "scenic")
NOTHING: Final = "Every weight is 0, so nothing is asked for. Move at least one slider."
SCRIPT: Final = """
const { addressOf, bodyOf, objection, questionOf } = await import(process.argv[1]);
const { sliders, query } = JSON.parse(process.argv[2]);
const address = sliders === null ? query : { ...query, ...addressOf({ weights: sliders }) };
const question = questionOf(address);
const sent = bodyOf(question, null).weights;
console.log(JSON.stringify({ sent, objection: objection(question), hasSlider: question.namesRoutine }));
"""


def asked(sliders: dict[str, float] | None, **query: str) -> dict[str, Any]:
    """What follows from the sliders that are there, or from an address as it is."""
    node = str(compute_driver_executable()[0])  # Playwright's own; another may not be installed
    module = (ROOT / "app/pages/similar/question.js").as_uri()
    given = json.dumps({"sliders": sliders, "query": {"clip": "c"} | query})
    done = subprocess.run(
        [node, "--input-type=module", "--eval", SCRIPT, module, given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("sliders", "sent"),
    [
        (dict.fromkeys(FUSED, 0), {}),
        (dict.fromkeys((*FUSED, "routine"), 0), {}),
        (dict.fromkeys(FUSED, 0) | {"routine": 1}, {"routine": 1}),
        (dict.fromkeys(FUSED, 0) | {"scenic": 0.5}, {"scenic": 0.5, "routine": 1}),
        (dict.fromkeys(FUSED, 1), dict.fromkeys((*FUSED, "routine"), 1)),
        (dict.fromkeys(FUSED, 1) | {"routine": 0}, dict.fromkeys(FUSED, 1)),
    ],
    ids=["all there are", "all five", "but routines", "but one", "none moved", "routines only"],
)
def test_a_weight_that_has_no_slider_counts_only_beside_one_that_counts(
    sliders: dict[str, float], sent: dict[str, float]
) -> None:
    found = asked(sliders)
    assert found["sent"] == sent
    assert found["objection"] == (None if sent else NOTHING)
    assert found["hasSlider"] == ("routine" in sliders), "a slider that was moved stays"


def test_an_address_that_names_no_weight_of_routines_asks_for_nothing_where_all_others_are_0() -> None:
    found = asked(None, weights=",".join(f"{each}:0" for each in FUSED))
    assert (found["sent"], found["objection"]) == ({}, NOTHING)
