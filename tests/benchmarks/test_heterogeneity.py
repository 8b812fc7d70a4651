"""The splits are what they say, every method is a job, and the report adds up and says only what its figures say."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.heterogeneity.__main__ import main
from benchmarks.heterogeneity.findings import findings, good_everywhere
from benchmarks.heterogeneity.plan import ESSENTIAL, LEVERS, LOCAL, POOLED, STRATEGIES, Run, configuration, planned
from benchmarks.heterogeneity.report import write_results
from benchmarks.heterogeneity.splits import (
    FEWEST_TESTED,
    GROUPS,
    SHARES,
    Patient,
    make_split,
    share_out,
)
from benchmarks.heterogeneity.summary import summarise
from benchmarks.heterogeneity.training import measure
from benchmarks.parts import Parts
from fedvoxel.errors import CohortError, ConfigError
from fedvoxel.evaluation.experiment import load_site_cases
from fedvoxel.volumes.site import SITE_FILE
from tests.training.conftest import write_site

SITES = ("hospital-a", "hospital-b")


def patients(count: int) -> list[Patient]:
    return [Patient({"case": f"{i}"}, i * GROUPS // count, i % 4 == 0) for i in range(count)]


def test_every_patient_is_in_one_hospital_and_sizes_are_the_shares() -> None:
    given = patients(400)
    shared = share_out(given)
    cases = [patient.row["case"] for hospital in shared for patient in hospital]
    assert sorted(cases) == sorted(patient.row["case"] for patient in given)
    trained = [sum(not patient.tested for patient in hospital) for hospital in shared]
    assert trained == [round(share * 300) for share in SHARES]
    assert min(sum(patient.tested for patient in hospital) for hospital in shared) >= FEWEST_TESTED


def test_the_mixtures_differ_and_a_hospital_is_tested_on_its_own() -> None:
    distances, mixtures = [], []
    for hospital in share_out(patients(2000)):
        by_split = [
            np.bincount([patient.group for patient in hospital if patient.tested == tested], minlength=GROUPS)
            for tested in (False, True)
        ]
        trained, tested = (counts / counts.sum() for counts in by_split)
        distances.append(np.abs(trained - tested).sum() / 2)
        mixtures.append(trained)
    across = [np.abs(one - other).sum() / 2 for one in mixtures for other in mixtures if one is not other]
    assert np.mean(across) > 0.4
    assert np.mean(distances) < np.mean(across)


def test_the_same_patients_are_shared_out_alike() -> None:
    assert share_out(patients(200)) == share_out(patients(200))


def test_an_unknown_split_and_missing_scans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="expected one of the splits"):
        make_split("other", tmp_path, tmp_path)
    with pytest.raises(CohortError, match="geometry needs"):
        make_split("geometry", tmp_path, tmp_path)


def test_every_method_is_a_job_of_its_own_on_every_split() -> None:
    for split, methods in (("skewed", (*STRATEGIES, *LEVERS)), ("geometry", tuple(STRATEGIES))):
        jobs = [Run(split, "strategy", name, 1).job() for name in methods]
        assert len({repr(job) for job in jobs}) == len(jobs)
    assert set(ESSENTIAL) <= set(STRATEGIES)
    with pytest.raises(ConfigError, match="expected one of the methods"):
        Run("skewed", "strategy", "FedSomething", 1).job()


def test_a_part_is_known_by_all_that_it_depends_on() -> None:
    runs = planned("skewed", [1, 2], list(STRATEGIES), SITES)
    assert len({run.name for run in runs}) == len(runs)
    assert len({json.dumps(configuration(run)) for run in runs}) == len(runs)
    checks = planned("geometry", [1], [*STRATEGIES, *LEVERS], SITES)
    assert [run.method for run in checks] == list(STRATEGIES)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Site files of tiny cohorts under the hippocampus job's own names."""
    found = {}
    for site, cases in (("hospital-a", 8), ("hospital-b", 16)):
        (tmp_path / site).mkdir()
        write_site(tmp_path / site, cases, classes={"anterior": 1, "posterior": 2})
        path = tmp_path / site / SITE_FILE
        described = json.loads(path.read_text())
        described["cohorts"] = {"hippocampus": described["cohorts"]["blobs"]}
        path.write_text(json.dumps(described))
        found[site] = path
    return found


def test_a_hospital_alone_trains_for_as_many_steps_as_everybody(files: dict[str, Path]) -> None:
    short = measure(_Short("skewed", "local", LOCAL[0], 1, "hospital-a"), files)
    long = measure(_Short("skewed", "local", LOCAL[1], 1, "hospital-a"), files)
    assert set(short["dice"]) == {"hospital-a"}
    task, _ = Run("skewed", "local", LOCAL[0], 1).job()
    own, other = (len(load_site_cases(file, task).training) for file in files.values())
    assert (short["epochs"], long["epochs"]) == (1, math.ceil((own + other) / own))
    assert long["epochs"] > 2


class _Short(Run):
    """Is a run of one round."""

    def job(self) -> Any:
        task, rounds = super().job()
        return task, rounds.model_copy(update={"num_rounds": 1})


def _values(dice: float, site: str | None = None) -> dict[str, Any]:
    """Returns a run's values in which hospital-b is always 0.1 better than hospital-a."""
    by_site = {"hospital-a": dice, "hospital-b": dice + 0.1}
    rows = {
        name: {f"{name}{i}": {"anterior": value, "posterior": value + 0.02, "absent": None} for i in range(6)}
        for name, value in by_site.items()
        if site in (None, name)
    }
    costs = {"bytes_up": 2_000_000, "bytes_down": 4_000_000, "seconds": 10.0}
    patients = {name: [20, 2, 6] for name in by_site}
    return {"dice": rows, "curve": [0.5, None], "patients": patients, **costs}


def _found() -> dict[Run, Any]:
    dice = {"Muon 0.003": 0.78, "Muon 0.006": 0.80, "AdamW 0.002": 0.79, LOCAL[0]: 0.70, LOCAL[1]: 0.75}
    dice |= {"FedAvg": 0.795, "SCAFFOLD": 0.74, "FedBN": 0.785}
    runs = [Run("skewed", "pooled", name, seed) for seed in (1, 2) for name in POOLED]
    runs += [Run("skewed", "local", name, seed, site) for seed in (1, 2) for name in LOCAL for site in SITES]
    runs += [Run("skewed", "strategy", name, seed) for seed in (1, 2) for name in ("FedAvg", "SCAFFOLD", "FedBN")]
    return {run: _values(dice[run.method] + 0.002 * (run.seed - 1), run.site or None) for run in runs}


def test_the_figures_are_those_of_a_calculation_by_hand() -> None:
    said = summarise(_found())["skewed"]
    row = said["rows"]["FedAvg"]
    assert said["best_pooled"] == "Muon 0.006"
    assert said["alone_best"]["hospital-a"] == pytest.approx(0.75 + 0.01 + 0.001)
    assert row["dice_of_cases"] == pytest.approx(0.795 + 0.05 + 0.01 + 0.001)
    assert row["dice_by_seed"] == pytest.approx([0.855, 0.857])
    assert (row["worst"], row["hospitals"]["hospital-a"]) == ("hospital-a", pytest.approx(0.806))
    assert row["to_pooled"]["mean"] == pytest.approx(-0.005)
    assert row["gains"]["hospital-b"]["mean"] == pytest.approx(0.045)
    assert (row["close_to_pooled"], row["nobody_worse_than_alone"]) == (True, True)
    far = said["rows"]["SCAFFOLD"]
    assert (far["close_to_pooled"], far["nobody_worse_than_alone"]) == (False, False)


def test_what_is_said_is_what_the_figures_show(tmp_path: Path) -> None:
    found = _found()
    found[Run("geometry", "strategy", "FedAvg", 1)] = _values(0.5)
    write_results(found, tmp_path)
    summary = json.loads((tmp_path / "heterogeneity.json").read_text())
    compared = {"skewed": summary["skewed"]}
    assert good_everywhere(compared) == ["FedAvg"]
    text = (tmp_path / "heterogeneity.md").read_text()
    for sentence in findings(summary):
        assert sentence in text
    assert "no hospital worse than alone, on every split: FedAvg." in text
    assert "more than 0.01 below pooled: SCAFFOLD, FedBN." in text
    assert "worse than alone, however little: SCAFFOLD (hospital-a, hospital-b)." in text
    assert "Far too few scans for any claim" in text
    assert "Trained in float32" not in text
    assert (tmp_path / "heterogeneity.png").read_bytes().startswith(b"\x89PNG")
    rows = [line for line in text.splitlines() if line.startswith("| FedAvg |")]
    assert len(rows) == 3
    assert rows[0].split("|")[2].strip() == "0.8560"


def test_tables_of_what_is_finished_train_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.heterogeneity.__main__.make_split", lambda *_: {})
    monkeypatch.setattr("benchmarks.arithmetic.has_bfloat16", lambda: False)
    parts, values = Parts(tmp_path / "runs"), _values(0.5)
    for run in (Run("geometry", "strategy", name, seed) for name, seed in (("FedAvg", 1), ("FedAvg", 2), ("FedBN", 1))):
        parts.run(run.name, configuration(run), lambda: values)
    folders = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path), "--work", str(tmp_path)]
    assert main(["--splits", "geometry", "--finished", "--seeds", "1", "2", *folders]) == 0
    (said,) = json.loads((tmp_path / "heterogeneity.json").read_text()).values()
    assert list(said["rows"]) == ["FedAvg"] and said["seeds"] == [1, 2], "FedBN lacks a seed"
    with pytest.raises(ConfigError, match="no method is finished for all of the seeds"):
        main(["--splits", "geometry", "--finished", "--seeds", "3", *folders])


def test_runs_of_another_arithmetic_are_not_mixed_in_unsaid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.arithmetic.has_bfloat16", lambda: False)
    monkeypatch.setattr("benchmarks.heterogeneity.__main__.make_split", lambda *_: {"hospital-a": tmp_path})
    folders = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path), "--work", str(tmp_path)]
    with pytest.raises(ConfigError, match="this CPU has no arithmetic"):
        main(["--splits", "geometry", "--methods", "FedAvg", *folders])
    found = _found()
    found[Run("skewed", "strategy", "FedBN", 1)]["bfloat16"] = False
    write_results(found, tmp_path)
    said = "Trained in float32, on a CPU without bfloat16: skewed_strategy_FedBN_1."
    assert said in (tmp_path / "heterogeneity.md").read_text()
