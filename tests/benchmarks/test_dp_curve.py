"""The curve's runs are what they say they are, and its report adds their figures up."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.dp_curve.plan import EPSILONS, LEVERS, Run, Start, configuration, runs
from benchmarks.dp_curve.report import summarise, write_results
from fedvoxel.privacy.accounting import epsilon as epsilon_of
from fedvoxel.privacy.patient_mechanism import PatientMechanism


def values(dice: float) -> dict[str, Any]:
    return {"dice": dice, "by_site": {"hospital-a": [dice - 0.01, dice + 0.01], "hospital-b": [dice]}}


def figures(seeds: list[int]) -> tuple[dict[Start, Any], dict[Run, Any]]:
    found = {run: values(0.8 + 0.001 * index + 0.01 * run.seed) for index, run in enumerate(runs(seeds, [seeds[0]]))}
    return {run.start: values(0.75) for run in found if run.start}, found


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [2.0, 8.0])
def test_a_run_costs_the_epsilon_that_it_is_named_after(wanted: float) -> None:
    job = Run(wanted, "", 1).job()
    events = PatientMechanism(job.privacy).events(job.rounds.num_rounds)
    assert epsilon_of(events, job.privacy.delta) == pytest.approx(wanted, abs=0.01)
    assert job.privacy.delta <= 1 / (10 * 50), "the largest hospital has fifty training patients"
    quieter = Run(16.0, "", 1).job().args.training.optimizer.learning_rate
    assert job.args.training.optimizer.learning_rate <= quieter


@pytest.mark.slow
def test_a_run_without_noise_is_clipped_like_the_others() -> None:
    with_noise, without = Run(8.0, "", 1).job(), Run(None, "", 1).job()
    assert without.privacy.noise_multiplier is None
    assert without.privacy.clip_norm == with_noise.privacy.clip_norm
    assert configuration(Run(None, "", 1)) != configuration(Run(None, "", 2))


@pytest.mark.slow
def test_every_lever_changes_the_job() -> None:
    own = Run(None, "", 1)
    for lever in LEVERS:
        changed = Run(None, lever, 1)
        assert (changed.job(), changed.start) != (own.job(), own.start), lever


def test_the_report_compares_with_the_public_model_and_the_run_without_noise(tmp_path: Path) -> None:
    starts, found = figures([1, 2])
    summary = summarise(starts, found)
    assert [row["epsilon"] for row in summary["curve"]] == list(EPSILONS)
    first, last = summary["curve"][0], summary["curve"][-1]
    assert first["dice"]["mean"] == pytest.approx((0.81 + 0.826) / 2)
    assert first["over_public"]["mean"] == pytest.approx(first["dice"]["mean"] - 0.75)
    assert last["below_no_noise"]["mean"] == 0
    write_results(starts, found, tmp_path)
    text = (tmp_path / "dp_curve.md").read_text()
    assert "| 8 |" in text and all(lever in text for lever in LEVERS)
    assert (tmp_path / "dp_curve.png").read_bytes().startswith(b"\x89PNG")
