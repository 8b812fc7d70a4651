"""The outcome's schema: what it holds, what it refuses, and that a server can read it without numpy or torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import RunOutcome, SiteScore, load_outcome, write_outcome
from fedvoxel.privacy.guarantee import NO_GUARANTEE, Guarantee
from tests.sample_run import failed_outcome, sample_outcome


@pytest.mark.parametrize("outcome", [sample_outcome(), failed_outcome()], ids=["finished", "failed"])
def test_reads_what_was_written(outcome: RunOutcome, tmp_path: Path) -> None:
    write_outcome(outcome, tmp_path / "outcome.json")
    assert load_outcome(tmp_path / "outcome.json") == outcome


def test_an_outcome_from_before_it_told_who_was_untested_is_read() -> None:
    old = {
        key: value
        for key, value in sample_outcome().model_dump(mode="json").items()
        if key not in ("unvalidated", "untested", "refused_cases")
    }
    read = parse_config(RunOutcome, old, "the outcome")
    assert (read.unvalidated, read.untested, read.refused_cases) == (None, None, {})


def test_times_are_written_with_their_zone() -> None:
    assert sample_outcome().model_dump(mode="json")["started"] == "2026-03-02T09:30:00Z"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"status": "COMPLETED"}, "status"),
        ({"rounds_committed": 13}, "13 rounds committed of 12 planned"),
        ({"best_round": 12}, "best_round 12 is not among"),
        ({"started": "2026-03-02T09:30:00"}, "timezone"),
        ({"finished": "2026-03-02T09:29:59Z"}, "finished before it started"),
        ({"model": {"file": "../global_model.npz", "sha256": "0" * 64}}, "model.file"),
        ({"model": {"file": "global_model.npz", "sha256": "0"}}, "model.sha256"),
        ({"patients": 3}, "patients"),
        ({"refused_cases": {"hospital-a": -1}}, "refused_cases.hospital-a"),
        ({"refused_cases": {"hospital-a": 1.5}}, "refused_cases.hospital-a"),
        ({"unvalidated": {"missing": {"hospital-a": ""}}}, "unvalidated.missing.hospital-a"),
        ({"untested": {"late": {"hospital-a": "no reply"}}}, "untested.late"),
        ({"guarantee": {"unit": "patient", "epsilon": 1.0}}, "guarantee.delta"),
        ({"channels": [{"name": "updates", "status": "closed", "why": "noised"}]}, "channels.0.status"),
        ({"start_from": {"run_key": "../a", "sha256": "0" * 64, "privacy": "none"}}, "start_from.run_key"),
    ],
)
def test_refuses(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(RunOutcome, sample_outcome().model_dump(mode="json") | change, "the outcome")


def test_a_guarantee_stands_alone_beside_its_own_words_and_no_open_channel() -> None:
    guarantee = Guarantee(
        unit="patient",
        epsilon=2.0,
        delta=1e-3,
        neighbouring="add or remove one patient",
        adversary="sees every message",
        composition="2 rounds",
    )
    closed, opened = ({"name": "updates", "status": status, "why": "so it is"} for status in ("charged", "open"))
    claim = {"guarantee": guarantee.model_dump(), "privacy": guarantee.said(), "channels": [closed]}
    values = sample_outcome().model_dump(mode="json") | claim
    assert parse_config(RunOutcome, values, "the outcome").guarantee == guarantee
    for change in ({"channels": [closed, opened]}, {"privacy": NO_GUARANTEE}, {"privacy": claim["privacy"] + "!"}):
        with pytest.raises(ConfigError, match="a guarantee beside other words or open channels"):
            parse_config(RunOutcome, values | change, "the outcome")


def test_refuses_rounds_out_of_order_and_a_site_both_refused_and_accepted() -> None:
    values = sample_outcome().model_dump(mode="json")
    with pytest.raises(ConfigError, match="not in order"):
        parse_config(RunOutcome, values | {"rounds": values["rounds"][::-1]}, "the outcome")
    values["rounds"][0]["refused"] = {"hospital-a": "wrong keys"}
    with pytest.raises(ConfigError, match="hospital-a cannot both have contributed and been refused"):
        parse_config(RunOutcome, values, "the outcome")


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ({"cases": 1, "classes": {"a": {"cases": 2}}}, "class a has 2 cases, the site only 1"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "dice_mean": 1.5}}}, "dice_mean"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "dice_mean": float("nan")}}}, "dice_mean"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "dice_mean": 0.5, "dice_low": 0.4}}}, "together"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "dice_low": 0.4, "dice_high": 0.5}}}, "without dice_mean"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "dice_mean": 0.5, "dice_low": 0.6, "dice_high": 0.5}}}, "greater"),
        ({"cases": 2, "classes": {"a": {"cases": 2, "hd95_mm_median": -1.0}}}, "hd95_mm_median"),
        ({"cases": 1, "classes": {}, "per_case": {"case-1": 0.5}}, "per_case"),
        ({"cases": -1, "classes": {}}, "cases"),
    ],
)
def test_refuses_a_malformed_score_of_a_site(score: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(SiteScore, score, "the test score")


def test_needs_neither_numpy_nor_torch() -> None:
    program = (
        "import sys, fedvoxel.federation.outcome; "
        "sys.exit(sorted({'numpy', 'torch', 'nvflare', 'scipy'} & set(sys.modules)) != [])"
    )
    root = Path(__file__).resolve().parents[2] / "app_custom"
    assert subprocess.run([sys.executable, "-c", program], cwd=root, timeout=60, check=False).returncode == 0
