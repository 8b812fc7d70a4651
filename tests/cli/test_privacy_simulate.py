"""`fedvoxel privacy simulate JOB`: what a hospital is told before it accepts a job, and how a script tells it apart."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.cli.privacy_simulate import CUT, REFUSED
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import (
    CohortBudget,
    NoBudget,
    PrivacyPolicy,
    PublicCohort,
    grant,
    load_privacy_policy,
    write_privacy_policy,
)
from fedvoxel.privacy.spending import planned_epsilon
from tests.blob_job import controller_of, executor_of, job_documents, write_job

NOISE = 10.0
SECTION = {
    "unit": "patient",
    "clip_norm": 1.0,
    "noise_multiplier": NOISE,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 3,
}
ROUNDS = 4
PATIENTS = 30


def plan(draws: int) -> RunPlan:
    event = {"noise_multiplier": NOISE, "sampling_probability": 1.0, "count": 1}
    return RunPlan.model_validate({"unit": "patient", "event": event, "draws": draws, "delta": 1e-3})


COST = planned_epsilon(plan(ROUNDS))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """What is read of a hospital's kit: a cohort of 30 listed patients, and a budget that covers the job."""
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    rows = ["case,patient,image,label"]
    for index in range(PATIENTS):
        for kind in ("image", "label"):
            (local / f"{kind}{index}.nii.gz").write_bytes(b"never opened")
        rows.append(f"case{index},patient{index},image{index}.nii.gz,label{index}.nii.gz")
    (local / "cases.csv").write_text("\n".join(rows) + "\n")
    cohort = {"source": {"layout": "csv", "table": "cases.csv"}, "classes": {"blob": 1}}
    site = {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": {"blobs": cohort}}
    (local / "fedvoxel_site.json").write_text(json.dumps(site))
    write_privacy_policy(local, PrivacyPolicy(schema_version=1))
    give(local.parent, COST + 0.01)
    return local.parent


def give(kit: Path, epsilon: float, delta: float = 0.01) -> None:
    grant(kit / "local", "blobs", CohortBudget(unit="patient", epsilon=epsilon, delta=delta))


def write(folder: Path, privacy: dict[str, Any] | None = SECTION, **rounds: Any) -> Path:
    job = job_documents()
    controller_of(job)["args"]["rounds"] |= {"num_rounds": ROUNDS, "evaluate": False} | rounds
    controller_of(job)["args"]["privacy"] = executor_of(job)["executor"]["args"]["privacy"] = privacy
    return write_job(folder / "job", job)


def told(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    assert main(["privacy", "simulate", *map(str, words)]) == code
    return str(capsys.readouterr().out)


def told_as_json(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> dict[str, Any]:
    return dict(json.loads(told(capsys, code, *words, "--json")))


def test_what_a_job_costs_is_said_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write(tmp_path)
    shown = told_as_json(capsys, 0, job)
    assert shown["epsilon"] == pytest.approx(COST) and shown["decision"] is None
    assert shown["epsilon_of_one_round"] == pytest.approx(planned_epsilon(plan(1)))
    assert shown["guarantee"]["unit"] == "patient" and shown["guarantee"]["delta"] == 1e-3
    assert shown["claim"].startswith("(ε = ") and {"charged", "public", "off"} == {
        channel["status"] for channel in shown["channels"]
    }
    said = told(capsys, 0, job)
    for words in (
        "for each patient (add or remove one patient) over 4 rounds",
        "one round alone",
        "sees every message",
    ):
        assert words in said


def test_a_budget_that_covers_the_job(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decision = told_as_json(capsys, 0, write(tmp_path), "--kit", kit)["decision"]
    assert (decision["verdict"], decision["rounds"], decision["charged"]) == ("fits", ROUNDS, ["blobs"])
    assert decision["left"] == pytest.approx(COST + 0.01) and decision["most_rounds"] == ROUNDS
    assert not (kit / "state").exists(), "asking spends nothing"
    assert "would answer all 4 rounds" in told(capsys, 0, tmp_path / "job", "--kit", kit)


def test_a_budget_that_covers_a_part(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give(kit, planned_epsilon(plan(2)) + 0.001)
    job = write(tmp_path)
    decision = told_as_json(capsys, CUT, job, "--kit", kit)["decision"]
    assert (decision["verdict"], decision["rounds"], decision["most_rounds"]) == ("cut", 2, 2)
    assert "would answer 2 of 4 rounds" in told(capsys, CUT, job, "--kit", kit)


def test_spare_draws_are_in_the_cost_and_a_budget_may_lack_them(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write(tmp_path, SECTION | {"spare_draws": 2})
    shown = told_as_json(capsys, 0, job)
    assert shown["epsilon"] == pytest.approx(planned_epsilon(plan(ROUNDS + 2)))
    assert (shown["rounds"], shown["spare_draws"], shown["plan"]["draws"]) == (ROUNDS, 2, ROUNDS + 2)
    assert "over 4 rounds and 2 spare draws; one round alone" in told(capsys, 0, job)
    for covered, said in ((6, ("fits", 4, 2)), (5, ("fits", 4, 1)), (4, ("fits", 4, 0)), (3, ("cut", 3, 0))):
        give(kit, planned_epsilon(plan(covered)) + 0.001)
        decision = told_as_json(capsys, 0 if said[0] == "fits" else CUT, job, "--kit", kit)["decision"]
        assert (decision["verdict"], decision["rounds"], decision["spare_draws"]) == said
        assert decision["most_rounds"] == covered - 2
    words = told(capsys, CUT, job, "--kit", kit)
    assert "would answer 3 of 4 rounds" in words and "covers 0 of 2 spare draws" in words
    assert "enough for 1 rounds of this kind in a new run, beside its 2 spare" in words


def test_what_earlier_runs_have_spent_counts(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = open_ledger(kit / "local", kit / "state", "blobs")
    ledger.reserve("earlier", "job", 0, plan(ROUNDS))
    entries = ledger.status().entries
    job = write(tmp_path)
    decision = told_as_json(capsys, REFUSED, job, "--kit", kit)["decision"]
    assert (decision["verdict"], decision["rounds"], decision["most_rounds"]) == ("refused", 0, 0)
    assert "cohort blobs" in decision["reason"] and "are spent" in decision["reason"]
    assert ledger.status().entries == entries
    assert "would answer no round" in told(capsys, REFUSED, job, "--kit", kit)


def test_a_run_that_has_begun_goes_on_as_it_was_granted(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = open_ledger(kit / "local", kit / "state", "blobs")
    ledger.keep(ledger.reserve("blobs", "job", 0, plan(ROUNDS)), b"noised")
    assert told_as_json(capsys, 0, write(tmp_path), "--kit", kit)["decision"]["rounds"] == ROUNDS


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "another unit": (
        {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 4.0, "sites": 5, "delta": 1e-3},
        "patient",
    ),
    "too large a batch": (SECTION | {"expected_batch": 40}, "batch of 40 patients is larger than the cohort"),
    "too large a delta": (SECTION | {"delta": 0.5}, "delta 0.5 is not below"),
    "a delta beyond the budget": (SECTION | {"delta": 0.02}, "budget is epsilon"),
    "no noise": (SECTION | {"noise_multiplier": None}, "epsilon inf"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_the_site_would_refuse_is_refused(
    case: str, tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section, reason = REFUSALS[case]
    decision = told_as_json(capsys, REFUSED, write(tmp_path, section), "--kit", kit)["decision"]
    assert decision["verdict"] == "refused" and reason in decision["reason"]


def test_a_protected_cohort_takes_no_part_without_a_privacy_section(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write(tmp_path, None, evaluate=True)
    shown = told_as_json(capsys, REFUSED, job, "--kit", kit)
    assert shown["claim"] == "no formal guarantee" and shown["epsilon"] is None
    assert "no privacy section" in shown["decision"]["reason"]
    for entry, said in ((NoBudget(), "no formal guarantee"), (PublicCohort(), "declares it public")):
        grant(kit / "local", "blobs", entry)
        assert said in told_as_json(capsys, 0, job, "--kit", kit)["decision"]["reason"]
        protecting = told_as_json(capsys, REFUSED, write(tmp_path), "--kit", kit)["decision"]["reason"]
        assert "grants no budget" in protecting
        write(tmp_path, None, evaluate=True)


def test_a_cohort_without_a_decision_and_a_kit_without_a_policy_are_refused(
    tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_privacy_policy(kit / "local", PrivacyPolicy(schema_version=1))
    assert "no entry for cohort" in told(capsys, REFUSED, write(tmp_path), "--kit", kit)
    assert load_privacy_policy(kit / "local").cohorts == {}
    assert "is missing" in told(capsys, REFUSED, write(tmp_path), "--kit", tmp_path)


def test_an_open_channel_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, 0, write(tmp_path, evaluate=True))
    assert "no formal guarantee (open: validation scores, model choice)" in said
    assert "open    validation scores: rounds.evaluate has sites send scores" in said


def test_a_start_that_only_the_server_knows_is_a_condition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = job_documents()
    controller_of(job)["args"] |= {"privacy": SECTION, "start_from": "public_run"}
    controller_of(job)["args"]["rounds"] |= {"evaluate": False}
    executor_of(job)["executor"]["args"]["privacy"] = SECTION
    folder = write_job(tmp_path / "job", job)
    assert "run public_run" in told_as_json(capsys, 0, folder)["condition"]
    assert "Provided that run public_run" in told(capsys, 0, folder)


def test_a_damaged_ledger_is_no_answer(tmp_path: Path, kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = open_ledger(kit / "local", kit / "state", "blobs")
    ledger.reserve("earlier", "job", 0, plan(1))
    path = kit / "state" / "privacy" / "blobs" / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b"earlier", b"another"))
    told(capsys, 12, write(tmp_path), "--kit", kit)


def test_a_job_and_numbers_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write(tmp_path)
    assert main(["privacy", "simulate", str(job), "--rounds", "3"]) == 2
    assert main(["privacy", "simulate", "--kit", str(tmp_path)]) == 2
    assert main(["privacy", "simulate"]) == 2
    assert main(["privacy", "simulate", str(tmp_path / "nowhere")]) == 3
    assert "not a job folder" in capsys.readouterr().err
