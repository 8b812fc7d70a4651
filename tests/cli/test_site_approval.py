"""`fedvoxel site approve`, `refuse`, `approvals`: a person sees what would run and signs exactly that."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.governance.approval_record import Arrival
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.submission import submission_of_folder
from tests.approval_kits import OFFICER, PHYSICIAN, SCIENTIST, Hospital, blob_job

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    made = Hospital(tmp_path)
    made.rule(approvals=1)
    made.person()
    return made


def run(hospital: Hospital, command: str, *words: object, person: str = PHYSICIAN) -> int:
    signed = ["--sign", str(hospital.kit_of(person))] if command != "approvals" else []
    return main(["site", command, str(hospital.kit.folder), *map(str, words), *signed])


def listed(hospital: Hospital, capsys: Capture) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(hospital, "approvals", "--json") == 0
    jobs: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["jobs"]
    return jobs


def came(hospital: Hospital, job: Path) -> str:
    """Has a job come to the site, and returns the hash of its content."""
    submission = submission_of_folder(job, "hospital-a")
    Approvals(hospital.kit).keep_arrival(
        Arrival(submission.sha256, submission.name, "j1", SCIENTIST, "consortium"), submission
    )
    return submission.sha256


def test_what_came_is_shown_approved_and_listed(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    content = came(hospital, blob_job(tmp_path / "job"))
    assert [job["standing"] for job in listed(hospital, capsys)] == ["pending"]
    assert run(hospital, "approve", content[:8], "--expect", content) == 0
    said = capsys.readouterr().out
    assert f"submitted by {SCIENTIST} of consortium" in said and "Nothing of this name was approved before" in said
    assert "It holds settings only, no code." in said and content in said
    (job,) = listed(hospital, capsys)
    assert (job["standing"], job["said"][0]["person"], job["said"][0]["word"]) == ("approved", PHYSICIAN, "approved")


def test_the_next_version_is_shown_by_what_changed(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    first = blob_job(tmp_path / "first")
    assert run(hospital, "approve", first, "--expect", submission_of_folder(first, "hospital-a").sha256) == 0
    capsys.readouterr()
    second = came(hospital, blob_job(tmp_path / "second", seed=8))
    assert run(hospital, "approve", second[:12], "--expect", second) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("  ")]
    assert lines == ["  config/config_fed_client.json: executors[0].executor.args.training.seed: 7 -> 8"]


def test_what_lacks_an_approval_or_was_refused_is_no_version_to_compare_with(
    hospital: Hospital, tmp_path: Path, capsys: Capture
) -> None:
    hospital.rule(approvals=2)
    hospital.person(OFFICER)
    first, second = blob_job(tmp_path / "first"), blob_job(tmp_path / "second", seed=8)
    content = submission_of_folder(first, "hospital-a").sha256

    def base() -> str:
        capsys.readouterr()
        run(hospital, "approve", second, "--expect", "0" * 64)
        return capsys.readouterr().out

    assert run(hospital, "approve", first, "--expect", content) == 0
    assert "Nothing of this name was approved before" in base()
    assert run(hospital, "approve", first, "--expect", content, person=OFFICER) == 0
    assert f"Changed since content {content[:12]}" in base()
    assert run(hospital, "refuse", first, "--reason", "no", "--expect", content, person=OFFICER) == 0
    assert "Nothing of this name was approved before" in base()
    hospital.rule(approvals=1)
    assert "Nothing of this name was approved before" in base()


def test_what_was_not_looked_at_is_not_signed(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    job = blob_job(tmp_path / "job")
    assert run(hospital, "approve", job, "--expect", "0" * 64) == 10
    assert "nothing was signed" in capsys.readouterr().err
    assert listed(hospital, capsys) == []


def test_who_does_not_belong_here_gets_a_reason(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    job = blob_job(tmp_path / "job")
    hospital.person(SCIENTIST, "consortium", role="lead")
    content = submission_of_folder(job, "hospital-a").sha256
    assert run(hospital, "approve", job, "--expect", content, person=SCIENTIST) == 8
    assert "people of hospital_a decide" in capsys.readouterr().err


def test_a_refusal_stands_with_its_reason(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    hospital.person(OFFICER)
    content = came(hospital, blob_job(tmp_path / "job"))
    assert run(hospital, "approve", content[:8], "--expect", content) == 0
    assert run(hospital, "refuse", content[:8], "--expect", content, "--reason", "too few", person=OFFICER) == 0
    (job,) = listed(hospital, capsys)
    assert job["standing"] == "refused" and job["said"][1]["reason"] == "too few"
    assert run(hospital, "approvals") == 0
    assert f"refused by {OFFICER}" in capsys.readouterr().out


def test_code_is_shown_with_what_a_scan_found(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    hospital.rule(code="approved")
    content = came(hospital, blob_job(tmp_path / "job", {"custom/a.py": "import socket  # \x1b[2K\n"}))
    assert run(hospital, "approve", content[:8], "--expect", content) == 0
    said = capsys.readouterr().out
    assert "IT HOLDS CODE" in said and "custom/a.py:1: imports socket: reaches the network" in said
    assert "+import socket" in said and "\x1b" not in said


def test_code_that_nobody_can_approve_is_not_signed(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    hospital.rule(code="approved")
    content = came(hospital, blob_job(tmp_path / "job", {"custom/a.py": "eval('1')\n"}))
    assert run(hospital, "approve", content[:8], "--expect", content) == 10
    assert not listed(hospital, capsys)[0]["said"]


def test_the_files_of_what_came_are_written_out(hospital: Hospital, tmp_path: Path, capsys: Capture) -> None:
    content = came(hospital, blob_job(tmp_path / "job", {"custom/a.py": "a = 1\n"}))
    assert run(hospital, "approvals", "--save", content[:8], "--out", tmp_path / "read") == 0
    assert (tmp_path / "read" / "custom" / "a.py").read_text() == "a = 1\n"
    assert run(hospital, "approvals", "--save", content[:8], "--out", tmp_path / "read") == 10


def test_only_a_site_has_approvals(hospital: Hospital) -> None:
    assert main(["site", "approvals", str(hospital.kit_of(PHYSICIAN))]) == 8
