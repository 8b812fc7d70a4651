"""A job between hospitals on thin lines of their own finishes, and takes as long as `job plan` said before it began."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import RunOutcome, load_outcome
from tests.blob_job import controller_of, executor_of, give_blobs, job_documents, write_job
from tests.system.network import Line, environment, why_not
from tests.system.networked import HOSPITALS, SCIENTIST, NetworkedConsortium, networked

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

LINE = Line(mbit=4, rtt_ms=60)
LOSSY = Line(mbit=4, rtt_ms=60, loss=0.01)
INT8 = {"compression": {"up": {"name": "int8"}, "down": {"name": "int8"}}}
WITHIN = 0.2
LOGGER = logging.getLogger(__name__)


@dataclass
class ThinRun:
    """Is a finished run, and the seconds that the slowest hospital worked for each question, without any transfer."""

    outcome: RunOutcome
    work_s: dict[str, list[float]]

    @property
    def rounds_s(self) -> float:
        """Seconds in which the rounds' messages travelled."""
        return sum(record.seconds for record in self.outcome.rounds) - sum(self.work_s["train"])

    @property
    def whole_s(self) -> float:
        """Seconds in which any message travelled, from the first question to the outcome."""
        whole = (self.outcome.finished - self.outcome.started).total_seconds()
        return whole - sum(sum(seconds) for seconds in self.work_s.values())


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedConsortium]:
    """Two hospitals, each with a line of its own of 4 Mbit/s and 60 ms."""
    with networked(tmp_path_factory.mktemp("thin"), LINE) as consortium:
        yield consortium


def make_job(folder: Path, run_key: str, channels: list[int], **rounds: Any) -> Path:
    """Writes a job whose model takes some megabytes and whose training takes next to no time."""
    network = {"name": "UNet", "arguments": {"channels": channels, "strides": [2, 2], "num_res_units": 0}}
    documents = job_documents(network=network)
    controller_of(documents)["args"] |= {"run_key": run_key, "rounds": {"num_rounds": 3, "min_sites": 2} | rounds}
    executor_of(documents)["executor"]["args"]["run_key"] = run_key
    return write_job(folder / run_key, documents)


def plan(job: Path, line: Line) -> dict[str, Any]:
    """Returns what `job plan` says of the messages of a job on such lines, without having seen any."""
    words = ["--line-mbit", line.mbit, "--rtt-ms", line.rtt_ms, "--loss", line.loss, "--sites", len(HOSPITALS)]
    command = [sys.executable, "-m", "fedvoxel.cli.main", "job", "plan", str(job), "--json", *map(str, words)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    transfer: dict[str, Any] = json.loads(said.stdout)["transfer"]
    return transfer


def run(consortium: NetworkedConsortium, job: Path, folder: Path) -> ThinRun:
    """Submits a job from the scientist's machine and waits for its end."""
    for hospital in HOSPITALS:
        if not (consortium.kits[hospital] / "local" / "cases.csv").is_file():
            give_blobs(consortium.kits[hospital])
    words = ["fedvoxel", "job", "submit", job, "--kit", consortium.kits[SCIENTIST], "--download", folder]
    done = consortium.network.run("scientist", words, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome_file,) = folder.glob("*/workspace/outcome.json")
    outcome = load_outcome(outcome_file)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 3)
    assert all(set(record.contributed) == set(HOSPITALS) for record in outcome.rounds)
    by_hospital = [work_of(consortium.kits[hospital] / outcome.job_id / "log.txt") for hospital in HOSPITALS]
    tasks = {task for work in by_hospital for task in work}
    slowest = {
        task: [max(each) for each in zip(*(work[task] for work in by_hospital if task in work), strict=True)]
        for task in tasks
    }
    return ThinRun(outcome, slowest)


def work_of(log: Path) -> dict[str, list[float]]:
    """Returns the seconds in which a hospital's executor worked, by task, as FLARE logs them."""
    found: dict[str, list[float]] = {}
    began: dict[str, datetime] = {}
    for line in log.read_text(errors="replace").splitlines():
        said = re.match(
            r"(\S+ \S+) .*task_name=(\w+), task_id=\S+\].*(invoking task executor|finished processing)", line
        )
        if said and said[3] == "invoking task executor":
            began[said[2]] = datetime.fromisoformat(said[1].replace(",", "."))
        elif said and said[2] in began:
            taken = datetime.fromisoformat(said[1].replace(",", ".")) - began.pop(said[2])
            found.setdefault(said[2], []).append(taken.total_seconds())
    return found


def check(planned: dict[str, Any], ran: ThinRun) -> None:
    """Compares a plan with a run."""
    tests = [phase["seconds"] for phase in planned["phases"] if phase["name"] == "test (at most)"]
    unsent_s = 0.0 if ran.outcome.beside_rounds.test_down else sum(tests)
    LOGGER.info("rounds: %.1f s of %.1f planned", ran.rounds_s, planned["rounds_s"])
    LOGGER.info("whole: %.1f s of %.1f planned", ran.whole_s, planned["seconds"] - unsent_s)
    assert planned["rounds_s"] == pytest.approx(ran.rounds_s, rel=WITHIN)
    assert planned["seconds"] - unsent_s == pytest.approx(ran.whole_s, rel=WITHIN)


def test_a_run_takes_as_long_as_was_planned_and_as_was_measured(thin: NetworkedConsortium, tmp_path: Path) -> None:
    job = make_job(tmp_path, "plain", [32, 64, 160])
    planned = plan(job, LINE)
    ran = run(thin, job, tmp_path)
    check(planned, ran)
    exact = {phase["name"]: phase for phase in planned["phases"]}
    sent, beside = ran.outcome.rounds[1], ran.outcome.beside_rounds
    assert exact["other rounds"]["bytes_down"] * len(HOSPITALS) == pytest.approx(sent.bytes_down, rel=0.01)
    assert exact["other rounds"]["bytes_up"] * len(HOSPITALS) == pytest.approx(sent.bytes_up, rel=0.01)
    assert exact["first model"]["bytes_up"] == pytest.approx(beside.first_model_up, rel=0.01)
    assert exact["last validation"]["bytes_down"] * len(HOSPITALS) == pytest.approx(beside.validation_down, rel=0.01)
    assert exact["test"]["bytes_down"] * len(HOSPITALS) == pytest.approx(beside.test_down, rel=0.01)

    words = ["fedvoxel", "job", "plan", job, "--json", "--measure", "--kit", thin.kits[SCIENTIST]]
    measured = thin.network.run("scientist", words, timeout_s=240)
    assert measured.returncode == 0, measured.stdout + measured.stderr
    said = json.loads(measured.stdout)
    assert (said["sites"], said["missing"]) == (len(HOSPITALS), {})
    check(said["transfer"], ran)


def test_a_compressed_run_takes_as_long_as_was_planned(thin: NetworkedConsortium, tmp_path: Path) -> None:
    job = make_job(tmp_path, "encoded", [32, 96, 256], **INT8)
    planned = plan(job, LINE)
    ran = run(thin, job, tmp_path)
    check(planned, ran)


def test_a_run_on_a_line_that_loses_packets_takes_as_long_as_was_planned(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    job = make_job(tmp_path, "lossy", [32, 64, 128])
    planned = plan(job, LOSSY)
    with networked(tmp_path_factory.mktemp("lossy"), LOSSY) as consortium:
        ran = run(consortium, job, tmp_path)
    check(planned, ran)
    assert planned["seconds"] > 1.2 * plan(job, LINE)["seconds"], "losses cost time"
