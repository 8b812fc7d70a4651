"""Alert rules and dashboard name metrics that exist; Prometheus' own tool checks the rules and what they fire for."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.ops.monitoring.sample import METRICS

FOLDER = Path(__file__).resolve().parents[3] / "provisioning" / "monitoring"
NAMED = re.compile(r"fedvoxel_(\w+)")


def expressions() -> dict[str, str]:
    """Returns every expression of rules and dashboard, by what it is for."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    shown = {f"{panel['title']} {each['refId']}": each["expr"] for panel in panels for each in panel["targets"]}
    return {rule["alert"]: rule["expr"] for rule in rules} | shown


def test_every_metric_that_is_named_exists_and_every_one_is_used() -> None:
    named = {name for expression in expressions().values() for name in NAMED.findall(expression)}
    assert named == set(METRICS)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")])
def test_prometheus_own_tool_takes_it(words: tuple[str, ...]) -> None:
    done = promtool(*words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    tested: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    fires = {rule["alertname"] for test in tested for rule in test["alert_rule_test"] if rule.get("exp_alerts")}
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    assert fires == {rule["alert"] for rule in rules}


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{index}", "expr": expr} for index, expr in enumerate(expressions().values())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", str(tmp_path / "panels.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
