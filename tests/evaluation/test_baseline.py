"""Baseline files: what is read, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.baseline import load_baseline
from fedvoxel.records.atomic import write_json
from tests.sample_run import local_baseline, pooled_baseline


def _values() -> dict[str, Any]:
    return local_baseline("hospital-a", -0.02).model_dump(mode="json")


def test_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline_local_hospital-a.json"
    write_json(path, _values())
    baseline = load_baseline(path)
    assert baseline == local_baseline("hospital-a", -0.02)
    assert len(baseline.scores("hospital-a")) == len(baseline.federated_scores("hospital-a")) == 14
    assert baseline.scores("hospital-b") == ()


def test_a_local_model_judges_its_own_site_a_pooled_one_all() -> None:
    assert local_baseline("hospital-b", 0.0).judged_sites() == ("hospital-b",)
    assert pooled_baseline().judged_sites() == ("hospital-a", "hospital-b", "hospital-c", "hospital-d")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"site": None}, "a local baseline names its site"),
        ({"kind": "pooled"}, "a pooled one names none"),
        ({"site": "hospital-z"}, "holds no scores of hospital-z"),
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
        ({"per_site": {"hospital-a": [{"case": "c", "dice": {"a": 1.2}, "hd95_mm": {}}]}}, "less than or equal to 1"),
        ({"per_site": {"hospital-a": [{"case": "c", "dice": {}, "hd95_mm": {}}] * 2}}, "twice"),
    ],
)
def test_refuses(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_json(path, _values() | change)
    with pytest.raises(ConfigError, match=said):
        load_baseline(path)
