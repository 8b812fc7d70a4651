"""`fedvoxel job check --kit` and `job submit` against a running consortium of two hospitals, each its own processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.governance.consortium import Consortium
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA
from fedvoxel.privacy.policy import CohortBudget, PublicCohort, grant
from fedvoxel.privacy.sections import read_section
from fedvoxel.privacy.simulation import plan_of
from fedvoxel.privacy.spending import planned_epsilon
from tests.blob_job import (
    change_policy,
    controller_of,
    describe_blobs,
    executor_of,
    give_blobs,
    job_documents,
    write_job,
)
from tests.consortium_kits import SERVER, consortium_file
from tests.private_section import PRIVACY

pytestmark = pytest.mark.slow

SCIENTIST = "scientist@consortium.example"
OPERATOR = "admin@consortium.example"
SITES = ("hospital-a", "hospital-b")


def _free_port() -> int:
    for port in range(29000, 29500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("no free port between 29000 and 29499")


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Two hospitals with twelve blobs each, connected to their server."""
    folder = tmp_path_factory.mktemp("consortium")
    made = create_consortium(consortium_file(folder), folder / "workspace", _free_port())
    for site in SITES:
        give_blobs(made.kit(site))
    with running_consortium(made.workspace):
        yield made


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A one-round job on the blobs."""
    return write_job(tmp_path / "blobs", job_documents())


def _run(*arguments: str | Path) -> tuple[int, Any, str]:
    """Runs the command in a process of its own, which must end by itself, and returns code, JSON and standard error."""
    command = [sys.executable, "-m", "fedvoxel.cli.main", "job", *map(str, arguments), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return child.returncode, json.loads(out) if out else None, err


def _check(consortium: Consortium, job: Path) -> tuple[int, dict[str, Any], dict[str, Any], str]:
    code, told, err = _run("check", job, "--kit", consortium.kit(SCIENTIST))
    return code, told, {verdict["site"]: verdict for verdict in told["sites_asked"]}, err


def _jobs_kept(consortium: Consortium) -> list[Path]:
    return list((consortium.kit(SERVER) / "state" / "jobs").glob("*"))


def test_sites_that_are_ready_say_so_and_nothing_is_left(consortium: Consortium, job: Path) -> None:
    before = _jobs_kept(consortium)
    code, told, sites, err = _check(consortium, job)
    assert (code, told["accepted"], err) == (0, True, "")
    assert {site: verdict["accepted"] for site, verdict in sites.items()} == dict.fromkeys(SITES, True)
    for verdict in sites.values():
        assert verdict["details"]["training_cases"] == "5 to 9" and verdict["details"]["refused_cases"] == "none"
        assert verdict["details"]["versions"]["monai"] != "not installed"
    assert _jobs_kept(consortium) == before
    assert sorted(path.name for path in job.rglob("*")) == [
        "app", "config", "config_fed_client.json", "config_fed_server.json", "meta.json",
    ]  # fmt: skip
    assert not (consortium.kit("hospital-a") / "state" / "runs" / "blobs").exists()


def test_a_site_that_cannot_take_part_is_named_with_its_reason(consortium: Consortium, job: Path) -> None:
    describe_blobs(consortium.kit("hospital-b"), classes={"lesion": 1})
    try:
        code, told, sites, err = _check(consortium, job)
    finally:
        describe_blobs(consortium.kit("hospital-b"))
    assert code == 10 and not told["accepted"]
    assert sites["hospital-a"]["accepted"] and not sites["hospital-b"]["accepted"]
    assert "the job asks for blob" in sites["hospital-b"]["reasons"][0]
    assert told["problem"].startswith("1 of 2 sites would accept the job, it starts with 2; hospital-b: ")
    assert err == f"error: {told['problem']}\n"


def test_a_protected_cohort_answers_without_a_word_about_its_cases(consortium: Consortium, tmp_path: Path) -> None:
    documents = job_documents(batch_size=1, epochs_per_round=1)
    controller_of(documents)["args"]["rounds"] |= {"num_rounds": 4, "evaluate": False}
    for args in (controller_of(documents)["args"], executor_of(documents)["executor"]["args"]):
        args["privacy"] = PRIVACY
    costs = {rounds: planned_epsilon(plan_of(read_section(PRIVACY), rounds)) for rounds in (2, 4)}
    for site, rounds in zip(SITES, (4, 2), strict=True):
        budget = CohortBudget(unit="patient", epsilon=costs[rounds] + 0.001, delta=0.01)
        grant(consortium.kit(site) / "local", "blobs", budget)
    try:
        code, told, sites, _ = _check(consortium, write_job(tmp_path / "private", documents))
        plain = _check(consortium, write_job(tmp_path / "plain", job_documents()))
    finally:
        for site in SITES:
            describe_blobs(consortium.kit(site))
    assert code == 0 and told["accepted"]
    for site, rounds in zip(SITES, (4, 2), strict=True):
        details = sites[site]["details"]
        assert details.keys() == {"protects", "rounds", "versions"}
        assert (details["protects"], details["rounds"]) == ("patient", rounds)
        assert details["versions"]["monai"] != "not installed"
        assert not (consortium.kit(site) / "state" / "privacy").exists(), "asking costs nothing"
    assert "covers 2 of the 4 rounds" in sites["hospital-b"]["reasons"][0]
    code, told, sites, _ = plain
    assert code == 10 and not told["accepted"]
    assert all("needs a privacy section with unit 'patient'" in sites[site]["reasons"][0] for site in SITES)


def test_a_run_on_cases_declared_public_says_so(consortium: Consortium, job: Path, tmp_path: Path) -> None:
    for site in SITES:
        grant(consortium.kit(site) / "local", "blobs", PublicCohort())
    try:
        code, told, err = _run("submit", job, "--kit", consortium.kit(SCIENTIST), "--download", tmp_path / "results")
    finally:
        for site in SITES:
            describe_blobs(consortium.kit(site))
    assert (code, err, told["outcome"], told["privacy"]) == (0, "", "finished", PUBLIC_DATA)


def test_a_class_list_that_would_end_the_job_is_found_at_its_site(consortium: Consortium, job: Path) -> None:
    site = consortium.kit("hospital-b")
    change_policy(site, "resources.json", class_allow_list=["fedvoxel.flare.controller.FedAvgController"])
    try:
        code, _, sites, _ = _check(consortium, job)
    finally:
        (site / "local" / "resources.json").unlink()
    assert code == 10
    assert sites["hospital-a"]["accepted"] and not sites["hospital-b"]["accepted"]
    assert "class_allow_list lacks fedvoxel.flare.executor.SiteExecutor" in sites["hospital-b"]["reasons"][0]


def test_a_site_whose_people_have_to_approve_jobs_is_said_to_wait_for_them(consortium: Consortium, job: Path) -> None:
    local = consortium.kit("hospital-b") / "local"
    write_approval_policy(local, ApprovalPolicy(approvals=2))
    try:
        code, told, sites, _ = _check(consortium, job)
    finally:
        write_approval_policy(local, ApprovalPolicy())
    assert code == 10 and sites["hospital-a"]["accepted"] and not sites["hospital-a"]["waits"]
    assert sites["hospital-b"]["waits"] and "by 2 people of this hospital" in sites["hospital-b"]["reasons"][0]
    assert "hospital-b: waits for approval" in told["problem"]


def test_a_scope_that_is_refused_at_deployment_is_named(consortium: Consortium, tmp_path: Path) -> None:
    documents = job_documents()
    documents["meta.json"]["scope"] = "research"
    code, told, err = _run("check", write_job(tmp_path / "job", documents), "--kit", consortium.kit(SCIENTIST))
    assert (code, told) == (10, None)
    assert err == "error: the server refused the deployment: privacy scope 'research' is not allowed\n"


def test_who_may_not_submit_may_not_ask(consortium: Consortium, job: Path) -> None:
    code, told, err = _run("check", job, "--kit", consortium.kit(OPERATOR))
    assert (code, told) == (10, None)
    assert err == "error: this user may not submit jobs: use the kit of a person with the role lead\n"


def test_a_job_is_submitted_and_its_own_outcome_is_told(consortium: Consortium, tmp_path: Path) -> None:
    documents = job_documents()
    for args in (controller_of(documents)["args"], executor_of(documents)["executor"]["args"]):
        args["run_key"] = "its_own"
    job = write_job(tmp_path / "job", documents)
    code, told, err = _run("submit", job, "--kit", consortium.kit(SCIENTIST), "--download", tmp_path / "results")
    assert (code, err) == (0, "")
    assert (told["status"], told["outcome"], told["failed"]) == ("FINISHED:COMPLETED", "finished", False)
    assert told["privacy"] == NO_GUARANTEE
    assert (Path(told["folder"]) / "workspace" / "global_model.npz").is_file()
    assert not list(job.rglob(".__nvfl*"))


def test_a_site_that_is_not_connected_is_named(consortium: Consortium, tmp_path: Path) -> None:
    documents = job_documents()
    documents["meta.json"]["deploy_map"] = {"app": ["server", "hospital-a", "hospital-z"]}
    code, _, sites, _ = _check(consortium, write_job(tmp_path / "job", documents))
    assert code == 10 and sites["hospital-a"]["accepted"]
    assert sites["hospital-z"]["reasons"] == ["not connected"]


def test_a_misspelt_site_is_said_before_any_site_is_asked(consortium: Consortium, tmp_path: Path) -> None:
    documents = job_documents()
    controller_of(documents)["args"]["rounds"]["case_counts"] = {"hospital-a": 12, "hospital-bb": 12}
    before = _jobs_kept(consortium)
    code, told, err = _run("check", write_job(tmp_path / "blobs", documents), "--kit", consortium.kit(SCIENTIST))
    assert code != 0 and told is None
    assert "hospital-bb is not in this run, and hospital-b has no number" in err and _jobs_kept(consortium) == before
