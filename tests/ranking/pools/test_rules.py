"""Every rule can be read by a person, counted by Prometheus and looked up in the documentation."""

from pathlib import Path

import pytest

from exporters.prometheus import PrometheusObserver
from ranking.pools.service import sentences
from ranking.pools.service.sentences import sentence
from schemas.events import PoolDecision
from schemas.pools import Lane, Rule

DOCUMENT = (Path(__file__).parents[3] / "docs" / "pools.md").read_text("utf-8")
API = (Path(__file__).parents[3] / "schemas" / "questions" / "pools.py").read_text("utf-8")


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_sentence_of_its_own(rule: Rule) -> None:
    decision = PoolDecision(
        clip_id="c", number=0, tier="t", previous_tier=None, rule=rule, policy_version="p", decided_at_ms=0
    )
    said = sentence(decision)
    assert said.replace("not n", "not-n", 1).startswith(rule)
    assert said != sentences._other(decision)


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_is_a_label_of_the_metric_of_decisions(rule: Rule) -> None:
    observer = PrometheusObserver()
    observer.pool_decided(rule, "t", 1)
    labels = {"rule": rule.value, "tier": "t"}
    assert observer.registry.get_sample_value("dancerank_pool_decisions_total", labels) == 1


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_is_documented_in_the_table_of_rules_and_in_the_api(rule: Rule) -> None:
    assert f"| `{rule}` |" in DOCUMENT
    assert f"`{rule}`" in API


@pytest.mark.parametrize("lane", Lane)
def test_a_lane_lets_in_by_the_rule_of_its_name(lane: Lane) -> None:
    assert lane.rule == lane
