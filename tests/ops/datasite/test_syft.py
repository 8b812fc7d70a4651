"""The real syft-job, a shared folder, and each side in processes of its own: asked, approved, judged, returned."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.records.audit import AuditLog
from tests.approval_kits import PHYSICIAN, SCIENTIST
from tests.evaluation.judgement.made_up import NAME
from tests.ops.datasite.asked_hospital import AskedHospital
from tests.ops.datasite.syft_environment import python_with_syft
from tests.own_environment import ROOT

pytestmark = pytest.mark.slow

Command = Callable[..., subprocess.CompletedProcess[str]]
STOCK_RUNNER = """
import sys, pathlib
from syft_job import SyftJobConfig, SyftJobRunner
config = SyftJobConfig(syftbox_folder=pathlib.Path(sys.argv[1]), current_user_email="datasite@hospital-a")
SyftJobRunner(config).process_approved_jobs(share_outputs_with_submitter=True)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return python_with_syft(tmp_path_factory.mktemp("with_syft") / "venv")


class Lab:
    """Is a hospital, a data scientist, and a folder that both see."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.python, self.box = python, folder / "SyftBox"
        self.box.mkdir()
        self.hospital = AskedHospital(folder)
        self.at_hospital("open", SCIENTIST)

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-m", "fedvoxel.cli.main", "datasite", *map(str, words), "--box", str(self.box)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "app_custom")}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def at_hospital(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        return self.run(command, self.hospital.kit.folder, *words)

    def desk(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        """A command of the hospital that looks at the package."""
        return self.at_hospital(command, *words, "--releases", self.hospital.index)

    def ask(self, *words: object) -> str:
        """Returns the request's hash."""
        kit, package = self.hospital.people.kit_of(SCIENTIST), self.hospital.package.path
        about = ["--site", "hospital-a", "--cohort", "brains", "--purpose", "as good here as elsewhere?"]
        done = self.run("ask", kit, package, *about, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("request ")[1].split()[0]

    def approve(self, content: str) -> subprocess.CompletedProcess[str]:
        sign = ["--sign", self.hospital.people.kit_of(PHYSICIAN), "--expect", content]
        return self.desk("approve", content[:12], *sign, "--reason", "IRB-2026-17")

    def answers(self) -> tuple[int, list[dict[str, Any]]]:
        done = self.run("answers", self.hospital.people.kit_of(SCIENTIST), "--site", "hospital-a", "--json")
        return done.returncode, json.loads(done.stdout)["requests"]

    @property
    def job(self) -> Path:
        """The folder of the one job in the box."""
        (found,) = self.inbox.glob("v1/*")
        return found

    @property
    def inbox(self) -> Path:
        return self.box / "datasite@hospital-a" / "app_data" / "job" / "inbox" / SCIENTIST

    @property
    def review(self) -> Path:
        return self.box / "datasite@hospital-a" / "app_data" / "job" / "review" / SCIENTIST

    def ran(self) -> list[tuple[str, str]]:
        return [(event.task, event.outcome) for _, event in AuditLog(self.hospital.kit.state).read()]


@pytest.fixture
def lab(tmp_path: Path, python: Path) -> Lab:
    return Lab(tmp_path, python)


def test_from_the_question_to_the_answer(lab: Lab) -> None:
    content = lab.ask("--metric", "dice", "--metric", "counts")
    assert lab.answers() == (0, [{"request": content, "status": "waiting", "answer": None, "problem": None}])
    listed = json.loads(lab.at_hospital("requests", "--json").stdout)["requests"]
    assert [(one["content"], one["standing"], one["sender"]) for one in listed] == [(content, "waiting", SCIENTIST)]
    shown = lab.desk("show", content[:12])
    assert "6 patients are listed" in shown.stdout and "is candidate" in shown.stdout, shown.stderr
    assert "NEVER RUN" in shown.stdout and "dice, counts, for each structure" in shown.stdout
    early = lab.desk("run", content[:12])
    assert early.returncode == 10 and "is waiting, not approved" in early.stderr

    approved = lab.approve(content)
    assert approved.returncode == 0 and "Approved. Next: fedvoxel datasite run" in approved.stdout, approved.stderr
    done = lab.desk("run", "--threads", "1")
    assert (done.returncode, done.stdout) == (0, f"{content[:12]}: returned\n"), done.stderr
    code, (one,) = lab.answers()
    assert code == 0 and one["status"] == "returned" and one["answer"]["aggregate"]["patients"] == 6
    assert one["answer"]["aggregate"]["structures"][0]["counts"]["found"] == 6
    told = lab.run("answers", lab.hospital.people.kit_of(SCIENTIST), "--site", "hospital-a").stdout
    assert "anterior hippocampus: mean Dice 0.9" in told and "For research use only." in told

    again = lab.desk("run")
    assert (again.returncode, again.stdout) == (0, f"{content[:12]}: nothing to do\n")
    assert lab.ran() == [("datasite ask", "done"), ("datasite approve", "done"), ("evaluation", "done")]


def test_nothing_of_a_patient_is_in_the_shared_folder(lab: Lab) -> None:
    content = lab.ask("--metric", "dice")
    assert lab.approve(content).returncode == 0
    assert lab.desk("run", "--threads", "1").returncode == 0
    left = {path.name: path.read_bytes() for path in lab.review.rglob("*") if path.is_file()}
    assert set(left) == {"answer.json", "state.yaml", "syft.pub.yaml"}
    words = [NAME, "case-", ".nii", str(lab.hospital.folder), "IRB-2026-17", PHYSICIAN]
    assert [word for word in words for file in left.values() if word.encode() in file] == []
    assert SCIENTIST in left["syft.pub.yaml"].decode()


def test_syfts_own_runner_finds_nothing_to_run(lab: Lab, tmp_path: Path) -> None:
    content, mark = lab.ask(), tmp_path / "mark"
    for script in (lab.job / "run.sh", lab.job / "code" / "main.py", lab.job / "code" / "more.sh"):
        script.write_text(f"touch {mark}\n" if script.suffix == ".sh" else f"open({str(mark)!r}, 'w')\n")
    assert "and 1 other files" in lab.desk("show", content[:12]).stdout
    assert lab.approve(content).returncode == 0

    def stock_runner() -> None:
        done = subprocess.run([str(lab.python), "-c", STOCK_RUNNER, str(lab.box)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    stock_runner()
    assert not mark.exists()
    assert lab.desk("run", "--threads", "1").returncode == 0 and lab.answers()[1][0]["status"] == "returned"
    stock_runner()
    assert not mark.exists()
    # It would have run what the job holds, had Syft's own state said "approved".
    state = next(lab.review.rglob("state.yaml"))
    state.write_text(yaml.safe_dump(yaml.safe_load(state.read_text()) | {"status": "approved"}))
    stock_runner()
    assert mark.exists()


def test_a_request_that_is_changed_after_the_approval_does_not_run(lab: Lab) -> None:
    content = lab.ask()
    assert lab.approve(content).returncode == 0
    file = lab.job / "code" / "request.json"
    kept = file.read_text()
    file.write_text(kept.replace('"test"', '"all"'))
    done = lab.desk("run")
    assert done.returncode == 10 and "does not lie in the box as it was" in done.stderr
    assert lab.answers()[1][0]["status"] == "waiting"
    (listed,) = json.loads(lab.at_hospital("requests", "--json").stdout)["requests"]
    assert listed["standing"] == "invalid" and "was changed, or another signed" in listed["problem"]
    file.write_text(kept)
    assert lab.desk("run").stdout.startswith("Nothing is approved.")
    assert lab.approve(content).returncode == 0 and lab.desk("run", "--threads", "1").returncode == 0
    assert lab.answers()[1][0]["status"] == "returned"


def test_a_rejected_request_returns_its_status_alone(lab: Lab) -> None:
    content, sign = lab.ask(), ["--sign", lab.hospital.people.kit_of(PHYSICIAN), "--expect"]
    wrong = lab.at_hospital("reject", content[:12], *sign, "0" * 64, "--reason", "no")
    assert wrong.returncode == 10 and "nothing was signed" in wrong.stderr
    rejected = lab.at_hospital("reject", content[:12], *sign, content, "--reason", "used for another study")
    assert rejected.returncode == 0, rejected.stderr
    assert lab.answers() == (0, [{"request": content, "status": "rejected", "answer": None, "problem": None}])
    assert "another study" not in "".join(path.read_text() for path in lab.review.rglob("*.yaml"))
    assert lab.desk("run", content[:12]).returncode == 10
    late = lab.approve(content)
    assert late.returncode == 10 and "final there" in late.stderr
    assert ("evaluation", "done") not in lab.ran() and not list(lab.review.rglob("answer.json"))


def test_a_link_in_the_box_stops_everything(lab: Lab) -> None:
    content = lab.ask()
    assert lab.approve(content).returncode == 0
    private = lab.hospital.folder / "private"
    private.mkdir()
    (lab.review / "v1" / lab.job.name / "outputs").symlink_to(private)
    done = lab.desk("run")
    assert done.returncode == 3 and "a link lies in the box" in done.stderr
    assert list(private.iterdir()) == []


def test_what_nobody_could_read_to_its_end_stops_everything(lab: Lab) -> None:
    content = lab.ask()
    assert lab.approve(content).returncode == 0
    settings = lab.job / "config.yaml"
    kept = settings.read_bytes()
    settings.unlink()
    os.mkfifo(settings)
    done = lab.desk("run")
    assert done.returncode == 3 and "a pipe or device lies in the box" in done.stderr
    settings.unlink()
    settings.write_bytes(kept + b"#" * 2**20)
    done = lab.at_hospital("requests")
    assert done.returncode == 3 and "a .yaml file of more than" in done.stderr
    settings.write_bytes(kept)
    assert lab.desk("run", "--threads", "1").stdout == f"{content[:12]}: returned\n", "the approval has not lapsed"


def test_an_answer_that_somebody_changed_is_not_to_be_used(lab: Lab) -> None:
    content = lab.ask()
    assert lab.approve(content).returncode == 0 and lab.desk("run", "--threads", "1").returncode == 0
    (file,) = lab.review.rglob("answer.json")
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"patients": 6', b'"patients": 9'))
    code, (one,) = lab.answers()
    assert code == 17 and one["answer"] is None and "was changed, or another signed" in one["problem"]
    assert lab.desk("run").stdout == f"{content[:12]}: handed over again\n"
    assert file.read_bytes() == kept and lab.answers()[0] == 0


def test_what_cannot_be_asked_is_one_line(lab: Lab) -> None:
    kit, package = lab.hospital.people.kit_of(SCIENTIST), lab.hospital.package.path
    about = ["--site", "hospital-a", "--cohort", "brains", "--purpose", "x"]
    for words, code, said in (
        ([kit, package, *about, "--metric", "scans"], 3, "metrics.0"),
        ([kit, package, *about, "--split", "none"], 3, "split"),
        ([lab.hospital.kit.folder, package, *about], 8, "a person asks"),
        ([kit, kit / "startup" / "client.crt", *about], 17, ""),
    ):
        done = lab.run("ask", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1) and said in done.stderr
    assert not list(lab.inbox.glob("v1/*"))
