"""Policies in TOML: what is accepted, and how the rest is refused."""

from pathlib import Path

import pytest

from ranking.pools.nomination import nomination
from ranking.pools.policy import Caps, Exploration, Nomination, Policy, PolicyError, Tier, part
from ranking.pools.policy_file import parse_policy
from schemas.modalities import Dimension
from tests.ranking.pools.examples import FOUR_TIERS

TEXT = """
# A policy with all keys.
version = "p1"
window_s = 21_600
confidence = 0.95
seed = 0

[[tiers]]
name = "trial"
exposures = 300     # where a clip starts
capacity = 1_500_000
least_views = 200
gate = 0.03         # rising comes next
floor = 0.01        # surely below
stay_s = 259_200

[[tiers]]
name = "rising"
exposures = 2_500
capacity = 1_500_000
least_views = 1_500
gate = 0.045
floor = 0.025
stay_s = 259_200

[[tiers]]
name = "popular"
exposures = 20_000
capacity = 1_500_000
least_views = 12_000
gate = 0.065
floor = 0.04
stay_s = 432_000

[[tiers]]
name = "featured"
exposures = 125_000
capacity = 1_500_000
least_views = 80_000
floor = 0.055
stay_s = 604_800

[nomination]
fewest_clips = 20

[nomination.thresholds]
fused = 67
scenic = 90

[exploration]
share = 0.2         # of trial
method = "thompson"
prior_reactions = 2.0
prior_views = 48.0

[caps]
dancer = 0.1        # 10 %
challenge = 0.4
"""

MINIMAL = """
version = "p1"
window_s = 100
tiers = [{ name = "only", exposures = 10, capacity = 100, least_views = 5, stay_s = 60 }]
nomination.thresholds.fused = 90
"""


def test_the_shipped_policy_has_four_tiers_that_every_modality_alone_can_open() -> None:
    policy = parse_policy(FOUR_TIERS, "four-tiers.toml")
    assert len(policy.tiers) == 4
    assert set(policy.nomination.thresholds) == set(Dimension)
    assert policy.exploration.method == "thompson"
    assert policy.exploration.share > 0
    assert max(policy.caps.dancer, policy.caps.challenge) < 1


def test_the_shipped_policy_nominates_an_outstanding_routine_whatever_shorter_clips_score() -> None:
    policy = parse_policy(FOUR_TIERS, "four-tiers.toml")
    best_of = {clips: 100 * (clips - 0.5) / clips for clips in (6, 7)}
    assert nomination(policy, {Dimension.FUSED: 20.0, Dimension.ROUTINE: best_of[6]}) is None
    found = nomination(policy, {Dimension.FUSED: 20.0, Dimension.ROUTINE: best_of[7]})
    assert found is not None
    assert found.by is Dimension.ROUTINE


def test_a_policy_may_leave_out_all_that_has_a_default() -> None:
    policy = parse_policy(MINIMAL, "p.toml")
    assert (policy.confidence, policy.exploration.method, policy.caps.dancer) == (0.95, "thompson", 1.0)


def test_shares_are_taken_as_they_are_written() -> None:
    assert int(100 * 0.29) == 28
    assert part(100, 0.29) == 29
    assert part(2**52, 1.0) == 2**52
    assert part(999, 0.001) == 0


REFUSALS = [
    # what is replaced in the policy above, by what, at which key, and what the message says
    ("gate = 0.065", "gate = 1.4", "tiers[2].gate", "expected float < 1.0"),
    ("gate = 0.065", "gate = nan", "tiers[2].gate", "expected float > 0.0"),
    ("gate = 0.065", 'gate = "high"', "tiers[2].gate", "expected float | null, got str"),
    ("gate = 0.065", "gaet = 0.065", "tiers[2].gaet", "no such key; allowed: name, exposures, capacity"),
    ("gate = 0.065", "gate = 0.045", "tiers[2].gate", "overlaps rising, where it is 0.045"),
    ("exposures = 2_500", "exposures = 300", "tiers[1].exposures", "overlaps trial, where it is 300"),
    ("least_views = 1_500", "least_views = 20", "tiers[1].least_views", "overlaps trial, where it is 200"),
    (
        "least_views = 200",
        "least_views = 301",
        "tiers[0].least_views",
        "it is granted 300 impressions; give at most that",
    ),
    ("gate = 0.03 ", "gate = 0.995 ", "tiers[0].gate", "no clip can reach 0.995: the bound is at most 0.9911"),
    ("floor = 0.01 ", "floor = 0.03 ", "tiers[0].floor", "not below the tier's gate, 0.03; give less"),
    ("floor = 0.025", "floor = 0.031", "tiers[1].floor", "clips enter by trial's gate, 0.03, and would leave at once"),
    ("floor = 0.055", "gate = 0.9", "tiers[3].gate", "the last tier's gate leads nowhere; leave it out"),
    ('name = "rising"', 'name = "trial"', "tiers[1].name", "two tiers called trial; give each its own name"),
    ('name = "rising"', 'name = "up/hill"', "tiers[1].name", "without spaces, slashes and control characters"),
    ("capacity = 1_500_000", "capacity = 299", "tiers[0].capacity", "comes to 299 impressions a window of trial"),
    ("capacity = 1_500_000", "capacity = 0", "tiers[0].capacity", "expected int >= 1"),
    ("capacity = 1_500_000", "capacity = 1.5e6", "tiers[0].capacity", "expected int, got float"),
    ("exposures = 300 ", f"exposures = {2**53}", "tiers[0].exposures", f"expected int <= {2**53 - 1}"),
    ("exposures = 300 ", "exposures = true ", "tiers[0].exposures", "expected int, got bool"),
    ("dancer = 0.1 ", "dancer = 0.01 ", "caps.dancer", "comes to 15000 impressions a window of popular"),
    ("challenge = 0.4", "challenge = 1.4", "caps.challenge", "expected float <= 1.0"),
    (
        "share = 0.2 ",
        "share = 0.0001 ",
        "exploration.share",
        "150 impressions a window of trial, where a clip is granted 300",
    ),
    ("share = 0.2 ", "share = 1 ", "exploration.share", "leaves 0 impressions a window for nominated clips"),
    ('"thompson"', '"greedy"', "exploration.method", "allowed: thompson, uniform"),
    ("prior_views = 48.0", "prior_views = inf", "exploration.prior_views", "expected float <="),
    (
        "scenic = 90",
        "smell = 90",
        "nomination.thresholds.smell",
        "allowed: skeletal, holistic, facial, scenic, routine, fused",
    ),
    ("scenic = 90", "scenic = 100", "nomination.thresholds.scenic", "a percentile, from 0 to less than 100"),
    ("scenic = 90", "scenic = 101", "nomination.thresholds.scenic", "a percentile, from 0 to less than 100"),
    ("scenic = 90", "scenic = nan", "nomination.thresholds.scenic", "a percentile, from 0 to less than 100"),
    ("scenic = 90", "scenic = true", "nomination.thresholds.scenic", "a percentile, from 0 to less than 100"),
    ("confidence = 0.95", "confidence = 0.5", "confidence", "expected float > 0.5"),
    ("window_s = 21_600", "window_s = 0", "window_s", "expected int >= 1"),
    ("[exploration]", "[exploitation]", "exploitation", "no such key; allowed: version, window_s"),
    ("[exploration]", "[[exploration]]", "exploration", "an array is refused: expected table"),
]


@pytest.mark.parametrize(("old", "new", "key", "says"), REFUSALS)
def test_a_refusal_names_the_file_the_line_the_key_and_the_remedy(old: str, new: str, key: str, says: str) -> None:
    before, found, after = TEXT.partition(old)
    assert found
    with pytest.raises(PolicyError) as caught:
        parse_policy(before + new + after, "policies/mine.toml")
    line = before.count("\n") + 1
    assert caught.value.message.startswith(f"policies/mine.toml, line {line}: {key}: ")
    assert says in caught.value.message
    assert caught.value.field == key


@pytest.mark.parametrize(
    ("gone", "heading", "key"),
    [
        ("gate = 0.045", '[[tiers]]\nname = "rising"', "tiers[1].gate"),
        ("stay_s = 432_000", '[[tiers]]\nname = "popular"', "tiers[2].stay_s"),
        ('version = "p1"', "\n# A policy", "version"),
    ],
)
def test_what_is_missing_is_reported_with_the_line_of_its_table(gone: str, heading: str, key: str) -> None:
    text = TEXT.replace(gone, "#", 1)
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p")
    line = text.partition(heading)[0].count("\n") + 1
    assert caught.value.message.startswith(f"p, line {line}: {key}: missing; ")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("version = 'p1'\nwindow_s 100", 2, "'window_s 100'"),
        ("version = 'p1'\nversion = 'p2'\n", 2, "Cannot overwrite a value"),
        ("version = '''p1\n\n", 2, "Expected"),
        ("[tiers]\nname = 'a'\n[[tiers]]\n", 3, "'[[tiers]]'"),
    ],
)
def test_a_document_that_is_not_toml_is_reported_with_the_line(text: str, line: int, says: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "p.toml")
    assert caught.value.message.startswith(f"p.toml, line {line}: not valid TOML: ")
    assert says in caught.value.message
    assert caught.value.message.endswith("; correct that line")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("tiers = []", "tiers"),
        ("tiers = [{ name = 'a' }, { nmae = 'b' }]", "tiers[0].exposures"),
        ("tiers = { name = 'a' }", "tiers"),
        ("tiers = [3]", "tiers[0]"),
        ("nomination = { thresholds = { smell = 3 } }", "nomination.thresholds.smell"),
        ("nomination = { thresholds = 80 }", "nomination.thresholds"),
        ("nomination = { thresholds = {} }\nexploration.share = 0", "nomination.thresholds"),
        ("exploration.method = 'x'", "exploration.method"),
        ("caps = { dancer = 2 }", "caps.dancer"),
    ],
)
def test_inline_tables_and_dotted_keys_have_their_line_too(line: str, key: str) -> None:
    name = line.partition(" =")[0].partition(".")[0]
    kept = [each for each in MINIMAL.strip().splitlines() if not each.startswith(name)]
    with pytest.raises(PolicyError) as caught:
        parse_policy("\n".join([*kept, "# now", line]), "p.toml")
    assert caught.value.message.startswith(f"p.toml, line {len(kept) + 2}: {key}: ")


def test_every_key_is_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "pools.md").read_text("utf-8")
    keys = {field for part in (Policy, Tier, Nomination, Exploration, Caps) for field in part.__struct_fields__}
    for key in keys:
        assert any(form in document for form in (f"`{key}`", f"[{key}]", f".{key}]")), key
