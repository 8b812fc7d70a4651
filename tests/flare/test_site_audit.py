"""What a site's own log says of each answer: what left, or why nothing did; and of the heads that it is shown."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.errors import LedgerError, UpdateError
from fedvoxel.flare.calibration_site import CalibrationExecutor
from fedvoxel.flare.messages import COUNTERSIGN_TOPIC, error_of, error_reply, result_reply
from fedvoxel.flare.reader_study_site import ReaderStudyExecutor
from fedvoxel.flare.site_audit import answer_countersigning, record_job
from fedvoxel.flare.statistics import StatisticsExecutor
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.countersigning import Answer, question_for
from fedvoxel.governance.log_notes import ServerNotes
from fedvoxel.records.audit import AUDIT_FILE, AuditLog, FollowedLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.updates.array_hash import hash_of_arrays
from fedvoxel.updates.weights_file import to_bytes
from fedvoxel.volumes.cohort_hash import cohort_hash
from tests.consortium_kits import small_consortium

from .test_outbound import ARRAYS, TRAINED, Kit

NAMED = {"run_key": "a_run", "round": 3}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def recorded(kit: Kit) -> list[AuditEvent]:
    return [event for _, event in AuditLog(kit.local.parent / "state").read()]


def test_an_update_that_leaves_is_recorded_by_its_hash_and_size(kit: Kit) -> None:
    kit.filtered(result_reply(TRAINED | NAMED, ARRAYS, difference=True))
    (event,) = recorded(kit)
    assert (event.kind, event.outcome, event.task, event.round, event.cohort) == ("answer", "done", "train", 3, "open")
    assert event.hashes == {"answer": hash_of_arrays(ARRAYS), "policy": policy_hash(kit.local)}
    assert event.size_bytes == 12 and event.spent is None


def test_what_the_filter_refuses_is_recorded_with_the_reason(kit: Kit) -> None:
    with pytest.raises(UpdateError):
        kit.filtered(result_reply(TRAINED | {"patient": "Meier"}, ARRAYS, difference=True))
    (event,) = recorded(kit)
    assert event.outcome == "refused" and "may not leave" in event.reason and "answer" not in event.hashes
    assert "Meier" not in event.model_dump_json()


def test_a_task_that_failed_is_recorded_with_the_words_that_left(kit: Kit) -> None:
    kit.filtered(error_reply("no memory"))
    kit.filtered(error_reply("patient 7 has no scan"), cohort="protected")
    open_, protected = recorded(kit)
    assert (open_.outcome, open_.reason) == ("failed", "no memory")
    assert protected.outcome == "failed" and "patient" not in protected.reason


def test_a_release_is_recorded_with_what_is_spent_and_the_ledgers_head(kit: Kit) -> None:
    release_id = kit.release(to_bytes(ARRAYS))
    kit.filtered(result_reply({"release_id": release_id}, {}, difference=True), cohort="protected")
    (event,) = recorded(kit)
    assert event.spent and event.spent.unit == "patient" and 0 < event.spent.epsilon < 8 and event.spent.delta == 1e-3
    assert event.hashes["answer"] == hash_of_arrays(ARRAYS) and "ledger_head" in event.hashes and event.round == 0


def test_values_without_arrays_are_recorded_by_their_hash(kit: Kit) -> None:
    score = {"score": {"cases": 2, "classes": {"organ": {"cases": 2, "dice_mean": 0.5}}}}
    kit.filtered(result_reply(score, {}, difference=False), task="validate")
    (event,) = recorded(kit)
    assert event.task == "validate" and "answer" in event.hashes and event.size_bytes == 0


def test_nothing_leaves_without_its_record(kit: Kit) -> None:
    state = kit.local.parent / "state" / "audit"
    kit.filtered(error_reply("no memory"))
    (state / AUDIT_FILE).write_bytes(b"{}\n")
    with pytest.raises(LedgerError, match=r"audit\.jsonl"):
        kit.filtered(result_reply(TRAINED | NAMED, ARRAYS, difference=True))


class Engine:
    """Stands where FLARE's client engine does."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def register_aux_message_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler


def context_of(kit: Path, engine: Engine) -> FLContext:
    """Is the context of a job's process in a real kit; its app has one file, whose submitter the server names."""
    app = kit / "job-1" / "app_hospital-a"
    app.mkdir(parents=True, exist_ok=True)
    (app / "config.json").write_text("{}")
    workspace = SimpleNamespace(
        get_root_dir=lambda: str(kit),
        get_site_config_dir=lambda: str(kit / "local"),
        get_startup_kit_dir=lambda: str(kit / "startup"),
        get_app_dir=lambda job_id: str(app),
    )
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
    context.set_prop(ReservedKey.IDENTITY_NAME, "hospital-a", private=False, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, "job-1", private=False, sticky=False)
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    meta = {"submitter_name": "lead@hospital-a.example", "submitter_role": "lead", "submitter_org": "hospital_a"}
    context.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)
    return context


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital's kit with an empty cohort."""
    kit = small_consortium(tmp_path_factory.mktemp("consortium")).kit("hospital-a")
    path = kit / "local" / "fedvoxel_site.json"
    (kit / "local" / "main.csv").write_text("case,patient,image,label\n")
    cohort = {"source": {"layout": "csv", "table": "main.csv"}, "classes": {"organ": 1}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cohorts": {"main": cohort}}))
    return kit


def test_a_job_and_the_heads_that_are_shown_stand_in_the_sites_log(made: Path) -> None:
    engine = Engine()
    context = context_of(made, engine)
    record_job(context, "a_run", ("main", cohort_hash(made / "local", "main")), None)
    record_job(
        context, "a_run", ("unknown", cohort_hash(made / "local", "unknown")), "this site has no cohort 'unknown'"
    )
    answer_countersigning(context)
    log, handler = AuditLog(made / "state"), engine.handlers[COUNTERSIGN_TOPIC]
    question = question_for(FollowedLog(log, ServerNotes).noted(), [], "a_run", 0)
    request = Shareable()
    request["question"] = question.model_dump(mode="json")
    answer = Answer.model_validate(handler(COUNTERSIGN_TOPIC, request, context)["answer"])
    assert answer.signature and answer.own_entries == 2
    unreadable = Answer.model_validate(handler(COUNTERSIGN_TOPIC, Shareable(), context)["answer"])
    assert unreadable.signature is None and "its own log says why" in unreadable.reason
    taken, refused, signed = [event for _, event in log.read()]
    assert set(taken.hashes) == {"job", "policy", "cohort"} and taken.actor and taken.actor.role == "lead"
    assert refused.outcome == "refused" and set(refused.hashes) == {"job", "policy"} and "unknown" in refused.reason
    assert (signed.kind, signed.outcome, signed.site) == ("countersignature", "done", "hospital-a")


KINDS: dict[str, Callable[[str], Executor]] = {
    "statistics": lambda cohort: StatisticsExecutor(cohort, ["organ"]),
    "calibrate_first": lambda cohort: CalibrationExecutor(cohort, ["organ"], {}, {}, "a_run"),
    "reader_study": lambda cohort: ReaderStudyExecutor(cohort, ["organ"], "spring", "ab" * 32),
}
"""Executors of jobs that train nothing, by a task that each answers; scores across sites come from the training one."""


@pytest.fixture
def begun(made: Path, tmp_path: Path) -> Path:
    """A copy of the kit, whose site has recorded nothing yet."""
    return shutil.copytree(made, tmp_path / "kit", ignore=shutil.ignore_patterns("state"))


def _jobs(kit: Path) -> list[AuditEvent]:
    return [event for _, event in AuditLog(kit / "state").read() if event.kind == "job"]


@pytest.mark.parametrize("task", KINDS)
def test_a_job_that_trains_nothing_is_recorded_with_its_cohort_as_it_begins(begun: Path, task: str) -> None:
    KINDS[task]("main").handle_event(EventType.START_RUN, context_of(begun, Engine()))
    (event,) = _jobs(begun)
    assert (event.outcome, event.cohort, event.job_id, event.site) == ("done", "main", "job-1", "hospital-a")
    assert event.run_key == ("a_run" if task == "calibrate_first" else "")
    assert event.hashes["cohort"] == cohort_hash(begun / "local", "main")
    assert set(event.hashes) == {"job", "policy", "cohort"} and event.actor and event.actor.role == "lead"


@pytest.mark.parametrize("task", KINDS)
def test_another_list_of_cases_is_another_hash(begun: Path, task: str) -> None:
    for patients in ("", "case-1,p1,a.nii,b.nii\n"):
        (begun / "local" / "main.csv").write_text(f"case,patient,image,label\n{patients}")
        KINDS[task]("main").handle_event(EventType.START_RUN, context_of(begun, Engine()))
    one, other = _jobs(begun)
    assert one.hashes["cohort"] != other.hashes["cohort"] and "case-1" not in other.model_dump_json()


@pytest.mark.parametrize("task", KINDS)
def test_a_cohort_that_the_site_does_not_have_has_no_hash(begun: Path, task: str) -> None:
    KINDS[task]("unknown").handle_event(EventType.START_RUN, context_of(begun, Engine()))
    (event,) = _jobs(begun)
    assert event.cohort == "unknown" and set(event.hashes) == {"job", "policy"}


@pytest.mark.parametrize("task", KINDS)
def test_no_job_begins_whose_beginning_cannot_be_recorded(begun: Path, task: str) -> None:
    (begun / "state").write_text("in the way")
    executor, context = KINDS[task]("main"), context_of(begun, Engine())
    executor.handle_event(EventType.START_RUN, context)
    assert "audit log cannot be written" in error_of(executor.execute(task, Shareable(), context, Signal()))
