"""The path of the data scientist: the interactive admin console takes the job as it lies in the repository."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

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
        status = console.command("check_status server")
        assert all(site in status for site in SITES)
        assert job_id in console.command("list_jobs")
        assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"
        assert "FINISHED:COMPLETED" in console.command(f"list_jobs {job_id}")
        console.command(f"download_job {job_id}")
        console.bye()
    _check_result(next(system.kit(SCIENTIST).glob(f"transfer/**/{job_id}/workspace")))


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


def test_a_clinician_may_look_but_not_submit(system: SystemUnderTest) -> None:
    with console_of(system.kit(CLINICIAN), CLINICIAN) as console:
        assert all(site in console.command("check_status server") for site in SITES)
        said = console.command(f"submit_job {HIPPOCAMPUS_JOB}")
        console.bye()
    assert "not authorized" in said.lower().replace("_", " "), said
    assert "Submitted job" not in said
