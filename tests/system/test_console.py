"""The path of the data scientist: the interactive admin console takes the job as it lies in the repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from fedvoxel.evaluation.report import Report
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.records.canonical import sha256_of_file

from .conftest import HIPPOCAMPUS_JOB, SCIENTIST, SITES, SystemUnderTest

CLINICIAN = "clinician@hospital-a.example"
PROMPT = r"\n> $"

# Python 3.12 warns of a fork in a process with threads; pexpect's child calls exec at once.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pty")


class Console:
    """Is a logged-in interactive admin console, answered as a person would."""

    def __init__(self, child: "pexpect.spawn[str]") -> None:
        self._child = child

    def command(self, line: str) -> str:
        """Types one line and returns what the console says until it asks again."""
        self._child.sendline(line)
        self._child.expect(PROMPT)
        return str(self._child.before)

    def bye(self) -> None:
        self._child.sendline("bye")
        self._child.expect(pexpect.EOF)


@contextmanager
def console_of(kit: Path, user: str) -> Iterator[Console]:
    """Starts `fl_admin.sh` of a person's kit and logs in; the console is gone afterwards."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    child = pexpect.spawn(
        str(kit / "startup" / "fl_admin.sh"), env=environment, encoding="utf-8", timeout=60, dimensions=(60, 250)
    )
    try:
        child.expect("User Name: ")
        child.sendline(user)
        child.expect(PROMPT)
        yield Console(child)
    finally:
        child.close(force=True)


@pytest.fixture(autouse=True)
def _unsigned_job() -> Iterator[None]:
    """Removes the signatures that FLARE's console leaves in the job folder that it submits."""
    yield
    for signature in HIPPOCAMPUS_JOB.rglob(".__nvfl_*"):
        signature.unlink()


def _submit(console: Console) -> str:
    said = console.command(f"submit_job {HIPPOCAMPUS_JOB}")
    submitted = re.search(r"Submitted job: (\S+)", said)
    assert submitted, said
    return submitted.group(1)


def test_the_console_trains_the_hippocampus_job(system: SystemUnderTest) -> None:
    with console_of(system.kit(SCIENTIST), SCIENTIST) as console:
        job_id = _submit(console)
        system.jobs.append(job_id)
        watching = _fedvoxel("watch", job_id, "--kit", system.kit(SCIENTIST))
        status = console.command("check_status server")
        assert all(site in status for site in SITES)
        assert job_id in console.command("list_jobs")
        assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"
        assert "FINISHED:COMPLETED" in console.command(f"list_jobs {job_id}")
        console.command(f"download_job {job_id}")
        console.bye()
    result = next(system.kit(SCIENTIST).glob(f"transfer/**/{job_id}/workspace"))
    _check_result(result)
    _check_watched(_said(watching), job_id)
    _check_report(_said(_fedvoxel("results", result.parent, "--json")), job_id)


def _rounds_planned() -> int:
    config = json.loads((HIPPOCAMPUS_JOB / "app" / "config" / "config_fed_server.json").read_text())
    return int(config["workflows"][0]["args"]["rounds"]["num_rounds"])


def _check_result(result: Path) -> None:
    outcome = load_outcome(result / OUTCOME_FILE)
    assert (outcome.status, outcome.reason, outcome.rounds_committed) == ("finished", None, _rounds_planned())
    for record in outcome.rounds:
        assert set(record.contributed) == set(SITES)
        assert (record.missing, record.refused) == ({}, {})
    assert set(outcome.test) == set(SITES)
    for model in (outcome.model, outcome.best_model):
        assert model and sha256_of_file(result / model.file) == model.sha256
    assert list((result / "events").glob("events.out.tfevents.*"))


def _fedvoxel(*words: str | Path) -> "subprocess.Popen[str]":
    """Starts a command as a person does whose output goes to a file."""
    return subprocess.Popen(
        [Path(sys.executable).parent / "fedvoxel", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _said(command: "subprocess.Popen[str]") -> str:
    """Waits until a command has ended well and silently, and returns what it printed."""
    try:
        out, err = command.communicate(timeout=60)
    finally:
        command.kill()
    assert (command.returncode, err) == (0, ""), out + err
    return out


def _check_watched(shown: str, job_id: str) -> None:
    words = " ".join(shown.split())
    assert f"hippocampus_fedavg {job_id}" in words
    assert re.search(rf"round \d+ \(training\), \d+ of {_rounds_planned()} done", words), shown
    assert re.search(r"hospital-a (training|replied)", words) and "validation" in words
    assert "FLARE ended the job as FINISHED:COMPLETED, which is not the outcome." in words
    assert words.endswith(f"fedvoxel results FOLDER/{job_id}"), shown[-500:]


def _check_report(printed: str, job_id: str) -> None:
    report = Report.model_validate_json(printed)
    assert (report.run.job_id, report.run.status) == (job_id, "finished")
    assert {row.site for row in report.rows} == set(SITES)
    assert (report.run.unvalidated, report.run.untested) == (Absences(), Absences())
    assert report.run.refused_cases == dict.fromkeys(SITES, 0)


def test_a_clinician_may_look_but_not_submit(system: SystemUnderTest) -> None:
    with console_of(system.kit(CLINICIAN), CLINICIAN) as console:
        assert all(site in console.command("check_status server") for site in SITES)
        said = console.command(f"submit_job {HIPPOCAMPUS_JOB}")
        console.bye()
    assert "not authorized" in said.lower().replace("_", " "), said
    assert "Submitted job" not in said
