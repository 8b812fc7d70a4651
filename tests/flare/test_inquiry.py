"""An inquiry writes its answers as one file, and the server's audit has its beginning and its end."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.signal import Signal

from fedvoxel.errors import JobError
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.records.audit import AUDIT_FILE, AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import sha256_of_file

from .test_controller import FakeEngine, FakeSites


class Question(InquiryController):
    """Asks nobody."""

    title, file = "question", "answers.json"
    run_key = "none"

    def answers(self, sites: list[str]) -> dict[str, Any]:
        if not sites:
            raise JobError("no site could say anything")
        return {"sites": sites}


def ask(folder: Path, sites: list[str]) -> list[str]:
    """Runs the inquiry and returns what FLARE was told went wrong."""
    controller, engine, context = Question(task_check_period=0.01), FakeEngine(folder, sites), FLContext()
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, "job-1", private=False, sticky=False)
    runner = SimpleNamespace(config=SimpleNamespace(task_request_interval=0.2))
    context.set_prop(FLContextKey.RUNNER, runner, private=True, sticky=False)
    meta = {"submitter_name": "lead@hospital-a.example", "submitter_role": "lead", "submitter_org": "hospital_a"}
    context.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)
    controller.communicator = FakeSites(controller, {})  # type: ignore[arg-type]
    controller.initialize(context)
    controller.control_flow(Signal(), context)
    return engine.panics


def recorded(folder: Path) -> list[AuditEvent]:
    return [event for _, event in AuditLog(folder / "state").read()]


def test_the_audit_has_who_asked_and_the_hash_of_what_was_written(tmp_path: Path) -> None:
    assert ask(tmp_path, ["hospital-a"]) == []
    job, run = recorded(tmp_path)
    assert job.kind == "job" and job.actor and job.actor.name == "lead@hospital-a.example"
    assert (run.kind, run.outcome, run.task) == ("run", "finished", "question")
    assert run.hashes == {"outcome": sha256_of_file(tmp_path / "job-1" / "answers.json")}


def test_an_inquiry_that_fails_says_why_in_the_audit_too(tmp_path: Path) -> None:
    (panic,) = ask(tmp_path, [])
    assert "no site could say anything" in panic
    assert [(event.outcome, event.reason) for event in recorded(tmp_path)][-1] == (
        "failed", "no site could say anything",
    )  # fmt: skip


def test_without_its_audit_an_inquiry_asks_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "audit"
    folder.mkdir(parents=True)
    (folder / AUDIT_FILE).write_bytes(b"{}\n")
    (panic,) = ask(tmp_path, ["hospital-a"])
    assert AUDIT_FILE in panic and not (tmp_path / "job-1" / "answers.json").exists()
