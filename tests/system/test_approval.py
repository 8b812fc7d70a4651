"""Over real processes: a job runs where people have approved it, and who objects is not trained on any more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.governance.consortium import Consortium
from fedvoxel.records.audit import AuditLog
from fedvoxel.volumes.site import SITE_FILE
from fedvoxel.volumes.split import SplitFractions, split_of
from tests.consortium_kits import FILE

from .conftest import SCIENTIST, SystemUnderTest, free_port, job_variant, log_in, wait_until
from .tiny_cohorts import describe_cohort

PEOPLE = ("physician@hospital-a.example", "officer@hospital-a.example")
BOTH = {"hospital-a", "hospital-b"}


def _consortium(folder: Path, rows: dict[str, list[str]]) -> Consortium:
    """Makes two hospitals, the first of which has two people who decide what it takes."""
    people = "".join(f"  - {{name: {name}, type: admin, org: hospital_a, role: member}}\n" for name in PEOPLE)
    text = FILE.format(port=free_port()).replace("builders:\n", f"{people}builders:\n")
    (folder / "consortium.yml").write_text(text, encoding="utf-8")
    made = create_consortium(folder / "consortium.yml", folder / "workspace")
    for site in sorted(BOTH):
        describe_cohort(made.kit(site), "hippocampus", rows[site])
    return made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, cohort_rows: dict[str, list[str]]) -> Iterator[SystemUnderTest]:
    """Two hospitals that run."""
    made = _consortium(tmp_path_factory.mktemp("two"), cohort_rows)
    with running_consortium(made.workspace) as running:
        session = log_in(made)
        try:
            yield SystemUnderTest(running, session, tmp_path_factory.mktemp("downloads"))
        finally:
            session.close()


def small_job(folder: Path, key: str, **training: Any) -> Path:
    """Writes a job of one round that goes on with one hospital."""
    job = job_variant(folder, key, rounds=1, rounds_section={"min_sites": 1}, training=training)
    meta = json.loads((job / "meta.json").read_text())
    (job / "meta.json").write_text(json.dumps(meta | {"min_clients": 1}))
    return job


def took_part(system: SystemUnderTest, job: Path) -> tuple[dict[str, int], str]:
    """Runs a job and returns on how many cases each hospital trained, and what FLARE says of the deployment."""
    job_id = system.submit(job)
    meta = system.wait(job_id)
    outcome = system.outcome(job_id)
    assert outcome.status == "finished", outcome.reason
    return dict(outcome.rounds[0].contributed), "\n".join(meta["job_deploy_detail"])


def listed(kit: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Returns the jobs of `fedvoxel site approvals`, by standing."""
    capsys.readouterr()
    assert main(["site", "approvals", str(kit), "--json"]) == 0
    return {job["standing"]: job for job in json.loads(capsys.readouterr().out)["jobs"]}


@pytest.mark.slow
def test_a_job_runs_where_two_people_have_approved_it_and_not_once_it_is_changed(
    two: SystemUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit, job = two.kit("hospital-a"), small_job(tmp_path, "approved_job")
    write_approval_policy(kit / "local", ApprovalPolicy(approvals=2))
    sites, said = took_part(two, job)
    assert set(sites) == {"hospital-b"} and "0 of 2 approvals" in said

    came = listed(kit, capsys)["pending"]
    assert came["submitters"][0]["name"] == SCIENTIST
    wait_until(lambda: AuditLog(kit / "state").read(), 10, "the refusal is in the site's audit log")
    words = ["--expect", came["content"], "--sign"]
    assert main(["site", "approve", str(kit), came["content"][:12], *words, str(two.kit(PEOPLE[0]))]) == 0
    # The second looks at the folder that the scientist sent: it has the hash of what came.
    assert main(["site", "approve", str(kit), str(job), *words, str(two.kit(PEOPLE[1]))]) == 0
    assert "Approved: the site takes this job" in capsys.readouterr().out
    assert set(took_part(two, job)[0]) == BOTH

    changed = small_job(tmp_path / "changed", "approved_job", proximal_mu=0.5)
    sites, said = took_part(two, changed)
    assert set(sites) == {"hospital-b"} and "0 of 2 approvals" in said
    assert set(listed(kit, capsys)) == {"approved", "pending"}


@pytest.mark.slow
def test_a_patient_who_objects_between_two_jobs_is_not_trained_on_in_the_second(
    two: SystemUnderTest,
    cohort_rows: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kit = two.kit("hospital-a")
    write_approval_policy(kit / "local", ApprovalPolicy())
    patients = [row.split(",")[1] for row in cohort_rows["hospital-a"]]
    patient = next(name for name in patients if split_of(name, SplitFractions()) == "training")
    (tmp_path / "patient.txt").write_text(f"{patient}\n")
    site = ["--site", str(kit / "local" / SITE_FILE), "--patient-file", str(tmp_path / "patient.txt"), "--json"]

    before, _ = took_part(two, small_job(tmp_path, "before_objection"))
    capsys.readouterr()
    assert main(["cohort", "exclude", *site]) == 0
    told = capsys.readouterr().out
    after, _ = took_part(two, small_job(tmp_path, "after_objection"))

    assert before["hospital-a"] - after["hospital-a"] == patients.count(patient)
    assert before["hospital-b"] == after["hospital-b"]
    used = {(run["run_key"], run["use"]) for run in json.loads(told)["runs"]}
    assert ("before_objection", "trained") in used and patient not in told
    assert main(["cohort", "exclude", *site]) == 0
    again = json.loads(capsys.readouterr().out)
    assert not again["changed"] and "after_objection" not in {run["run_key"] for run in again["runs"]}
