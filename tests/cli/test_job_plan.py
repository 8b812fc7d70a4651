"""`fedvoxel job plan`: what it prints, as JSON and for people, and the options that do not go together."""

import json
import shlex
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.federation.outcome import write_outcome
from tests.blob_job import job_documents, write_job
from tests.sample_run import sample_outcome

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job on the blobs."""
    return write_job(tmp_path / "blobs", job_documents())


def test_json_has_the_plan_and_every_change(job: Path, capsys: Shown) -> None:
    assert main(["job", "plan", str(job), "--line-mbit", "2", "--rtt-ms", "100", "--train-s", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["line"] == {"mbit": 2.0, "rtt_ms": 100.0, "loss": 0.0, "server_mbit": None}
    assert said["work"] == {"train_s": 3.0, "other_s": 0.0}
    assert said["whole"]["seconds"] == pytest.approx(said["transfer"]["seconds"] + 3)
    assert said["whole"]["seconds"] == pytest.approx(sum(phase["seconds"] for phase in said["whole"]["phases"]))
    assert all(change["set"] for change in said["changes"])


def test_people_are_told_what_comes_on_top_and_what_to_do(job: Path, capsys: Shown) -> None:
    assert main(["job", "plan", str(job)]) == 0
    said = capsys.readouterr().out
    assert "1 rounds × " in said and "Training comes on top" in said
    assert "fedvoxel job submit" in said
    (words,) = (line for line in said.splitlines() if "fedvoxel job export" in line)
    command = shlex.split(words.replace("NEW", str(job.parent / "new")))
    assert main(command[1:]) == 0, "what it says can be done"
    assert main(["job", "plan", str(job.parent / "new")]) == 0
    assert "fedvoxel job export" not in capsys.readouterr().out, "that job has the setting"


def test_training_is_taken_from_an_earlier_run(job: Path, tmp_path: Path, capsys: Shown) -> None:
    write_outcome(sample_outcome(), tmp_path / "outcome.json")
    assert main(["job", "plan", str(job), "--like", str(tmp_path / "outcome.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["work"]["train_s"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--train-s", "1", "--like", "outcome.json"], "--like"),
        (["--measure"], "--kit"),
        (["--kit", "somewhere"], "--measure"),
    ],
)
def test_options_that_do_not_go_together(job: Path, capsys: Shown, options: list[str], said: str) -> None:
    assert main(["job", "plan", str(job), *options]) == 2
    assert said in capsys.readouterr().err


def test_losses_without_delay_are_refused(job: Path, capsys: Shown) -> None:
    assert main(["job", "plan", str(job), "--loss", "0.01", "--rtt-ms", "0"]) == 3
    assert "rtt_ms" in capsys.readouterr().err
