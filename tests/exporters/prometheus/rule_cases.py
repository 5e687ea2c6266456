"""Runs promtool on the shipped rules with series of a test's choice."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "dancerank-rules.yml"


def check_alert(
    promtool: str,
    folder: Path,
    alert: str,
    series: Mapping[str, str],
    fired: list[dict[str, str]],
    *,
    at: str = "115m",
) -> None:
    """Assert that at a time after the beginning of ``series`` (values in promtool's notation, one a minute) ``alert``
    fires with exactly the labels ``fired``.
    """
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        # Other alerts have no influence on this one, and evaluating them takes most of the time.
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert", alert) == alert]
        for rule in group["rules"]:
            rule.pop("annotations", None)  # which alert fires is the question, not in which words
    (folder / RULES.name).write_text(yaml.safe_dump(rules))
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": labels} for labels in fired]}
        ],
    }
    test = {"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": [case]}
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    checked = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
