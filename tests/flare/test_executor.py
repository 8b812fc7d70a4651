"""A site's executor: whatever a job names, no model leaves in a protected cohort's stead."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedvoxel.errors import LedgerError
from fedvoxel.federation.broadcast import fingerprint
from fedvoxel.flare import executor as executor_module
from fedvoxel.flare.executor import SiteExecutor
from fedvoxel.flare.messages import LACKS_MODEL, NO_ARRAYS, STATS_GROUP, error_of
from fedvoxel.flare.outbound import OutboundFilter
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, NoBudget
from fedvoxel.records.audit import AuditLog
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.updates.weights_file import save_weights
from tests.flare.test_patient_promises import Site
from tests.training.conftest import training_section

MODEL = {"conv.weight": np.zeros(3, np.float32)}
OWN = {"conv.weight": np.full(3, 0.75, np.float32)}
SECTION = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 50.0, "sites": 4, "delta": 1e-3}
OF_PATIENTS = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 50.0,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 4,
}
BUDGET = CohortBudget(unit="hospital", epsilon=1, delta=1e-2)


class FakeTrainer:
    """Answers as a trainer process does, and keeps its model wherever it is told to."""

    def __init__(self, setup: TrainerSetup, log_file: Path, threads: int) -> None:
        self.told: list[str] = []
        self.headers: list[dict[str, Any]] = []
        self.arrays: list[Mapping[str, Any]] = []
        self.result: dict[str, Any] | None = None

    def start(self) -> None:
        """Needs nothing."""

    def end(self) -> None:
        """Needs nothing."""

    def ask_on(
        self,
        message: Message,
        should_stop: Callable[[], bool],
        on_progress: Callable[[Mapping[str, Any]], None],
        checkpoint: Path | None,
    ) -> Message:
        command = str(message.header["command"])
        self.told.append(command)
        self.headers.append(dict(message.header))
        self.arrays.append(message.arrays)
        if self.result is not None:
            return Message({"event": "result", **self.result})
        if command == "initialize":
            return Message({"event": "result"}, MODEL)
        on_progress({"step": 7, "loss": 0.5})
        if "keep_as" in message.header:
            save_weights(Path(message.header["keep_as"]), OWN)
        return Message({"event": "result", "case_count": 5, "loss": 0.5}, OWN)


class Hospital:
    """Is a site with its policy, and jobs that run there one after another under the run key "run"."""

    def __init__(self, folder: Path) -> None:
        self.root, self.site, self.job = folder, Site(folder), "job"

    def get_startup_kit_dir(self) -> str:
        return str(self.root / "startup")

    def get_site_config_dir(self) -> str:
        return str(self.site.local)

    def get_run_dir(self, job_id: str) -> str:
        return str(self.root)

    def get_app_dir(self, job_id: str) -> str:
        return str(self.root / "app_hospital-a")

    def get_root_dir(self) -> str:
        return str(self.root)

    def context(self, task: str = "") -> FLContext:
        made = FLContext()
        made.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True, sticky=False)
        made.set_prop(FLContextKey.CURRENT_RUN, self.job, private=True, sticky=False)
        made.set_prop(FLContextKey.TASK_NAME, task, private=True, sticky=False)
        made.set_prop(ReservedKey.IDENTITY_NAME, "hospital-a", private=False, sticky=False)
        return made

    def executor(self, cohort: str, privacy: Any = None) -> SiteExecutor:
        training = json.loads(json.dumps(training_section()))
        made = SiteExecutor(cohort, ["blob"], {}, training, "run", privacy)
        made.handle_event("_start_run", self.context())
        return made

    def answer(self, executor: SiteExecutor, task: str, **meta: Any) -> Shareable:
        """Is what leaves the site in answer to a task, after its filter."""
        said = {"validate": False, "privacy": executor.privacy, "correction": None, "accepted": {}} | meta
        rounds = {"current_round": said.pop("current_round", 0), "total_rounds": said.pop("total_rounds", 1)}
        asked = FLModel(ParamsType.FULL, MODEL, **rounds, meta=said)
        context = self.context(task)
        answered = executor.execute(task, FLModelUtils.to_shareable(asked), context, Signal())
        return OutboundFilter().process(answered, context)

    def kept(self) -> list[str]:
        return [path.name for path in (self.root / "state/runs/run").iterdir()]


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    monkeypatch.setattr(executor_module, "TrainerProcess", FakeTrainer)
    return Hospital(tmp_path)


# ------------------------------------------------------------------ the site's own model of a run


def test_a_sites_own_model_leaves_for_the_cohort_that_it_was_trained_on(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    hospital.answer(hospital.executor("open"), "train")
    left = FLModelUtils.from_shareable(hospital.answer(hospital.executor("open"), "submit_model"))
    assert np.array_equal(left.params["conv.weight"], OWN["conv.weight"])


def test_another_job_of_the_same_run_key_finds_nothing_of_the_earlier_one(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget()).add("other", "p2", NoBudget())
    hospital.answer(hospital.executor("open"), "train", current_round=4)
    hospital.answer(hospital.executor("other"), "train", current_round=4)
    folder = hospital.root / "state/runs/run"
    left = ["site_state.open.npz", "site_state_4.open.npz", "codec_memory.open.npz", "sum_memory_3.open.npz"]
    left.append("personal_model.open.npz")
    for name in [*left, "site_state.other.npz", "summed_rounds.json"]:
        (folder / name).touch()
    hospital.answer(hospital.executor("open"), "train", current_round=5)
    assert all((folder / name).is_file() for name in left), "the same job goes on, in a new process too"
    hospital.job = "later"
    # Not even where the site has missed the later job's first rounds.
    hospital.answer(hospital.executor("open"), "train", current_round=2)
    assert not any((folder / name).exists() for name in left)
    assert {"site_state.other.npz", "local_model.other.npz", "summed_rounds.json"} <= set(hospital.kept())


def test_a_model_of_one_cohort_does_not_leave_under_anothers_name(hospital: Hospital) -> None:
    hospital.site.add("later", "p1", NoBudget()).add("open", "p2", NoBudget())
    hospital.answer(hospital.executor("later"), "train")
    hospital.site.add("later", "p1", BUDGET)
    assert "no model of its own" in error_of(hospital.answer(hospital.executor("open"), "submit_model"))
    assert "declined" in error_of(hospital.answer(hospital.executor("later"), "submit_model"))


def test_under_a_privacy_section_no_model_is_kept(hospital: Hospital) -> None:
    hospital.site.add("protected", "p1", BUDGET).add("open", "p2", NoBudget())
    reply = FLModelUtils.from_shareable(hospital.answer(hospital.executor("protected", SECTION), "train"))
    assert reply.meta.keys() == {"release_id", "case_count", "run_key", "round"}
    assert sorted(hospital.kept()) == ["run.protected.json", "run.protected.json.hashed"]
    assert (reply.meta["run_key"], reply.meta["round"]) == ("run", 0)
    assert "no model of its own" in error_of(hospital.answer(hospital.executor("open"), "submit_model"))


def test_an_answer_names_the_run_and_the_round_that_it_is_for(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    reply = FLModelUtils.from_shareable(hospital.answer(hospital.executor("open"), "train", current_round=3))
    assert (reply.meta["run_key"], reply.meta["round"]) == ("run", 3)


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("state/audit/head.json", ["done", "done"]),
        ("local/fedvoxel_site.json", ["done", "refused", "done"]),
    ],
)
def test_a_site_takes_part_once_what_was_damaged_as_the_job_began_is_put_back(
    hospital: Hospital, damaged: str, said: list[str]
) -> None:
    hospital.site.add("protected", "p1", BUDGET)
    hospital.answer(hospital.executor("protected", SECTION), "train", total_rounds=2)
    path = hospital.root / damaged
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    executor = hospital.executor("protected", SECTION)
    for _ in range(2):
        with suppress(LedgerError):  # where the refusal cannot be written either, the filter lets nothing leave
            assert "declined" in error_of(hospital.answer(executor, "train", current_round=1, total_rounds=2))
    path.write_bytes(whole)
    if "audit" not in damaged:
        log = AuditLog(hospital.root / "state")
        assert [event.outcome for _, event in log.read() if event.kind == "job"] == said[:-1], "refused once"
    reply = FLModelUtils.from_shareable(hospital.answer(executor, "train", current_round=1, total_rounds=2))
    assert reply.meta["round"] == 1
    assert [event.outcome for _, event in AuditLog(hospital.root / "state").read() if event.kind == "job"] == said


@pytest.mark.parametrize("task", ["validate", "check", "submit_model"])
def test_under_a_privacy_section_other_tasks_do_not_reach_the_trainer(task: str, hospital: Hospital) -> None:
    hospital.site.add("protected", "p1", BUDGET)
    executor = hospital.executor("protected", SECTION)
    hospital.answer(executor, task, split="validation", model="global")
    assert isinstance(executor._process, FakeTrainer) and executor._process.told == []


def test_a_hospital_without_a_training_case_answers_with_zeros(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_cases(trainer: FakeTrainer, message: Message, **_: Any) -> Message:
        return Message({"event": "result"}, MODEL if message.header["command"] == "initialize" else {})

    monkeypatch.setattr(FakeTrainer, "ask_on", without_cases)
    hospital.site.add("protected", "p1", BUDGET)
    executor = hospital.executor("protected", SECTION)
    reply = FLModelUtils.from_shareable(hospital.answer(executor, "train"))
    assert reply.params.keys() == MODEL.keys() and not any(array.any() for array in reply.params.values())


# ------------------------------------------------------------------ the server's privacy section

QUIETER = {"noise_multiplier": 5.0}


@pytest.mark.parametrize(
    ("own", "servers"),
    [
        (SECTION, None),
        (SECTION, SECTION | QUIETER),
        (SECTION, SECTION | {"sites": 3}),
        (SECTION, SECTION | {"unit": "patient"}),
        (OF_PATIENTS, None),
        (OF_PATIENTS, OF_PATIENTS | QUIETER),
        (OF_PATIENTS, OF_PATIENTS | {"delta": 1e-4}),
        (None, SECTION),
        (None, OF_PATIENTS),
    ],
)
def test_a_round_under_another_section_of_the_servers_is_not_trained_and_not_charged(
    own: Any, servers: Any, hospital: Hospital
) -> None:
    entry = CohortBudget(unit=own["unit"], epsilon=1, delta=1e-2) if own else NoBudget()
    hospital.site.add("blobs", "p1", entry)
    executor = hospital.executor("blobs", own)
    said = error_of(hospital.answer(executor, "train", privacy=servers))
    assert ("declined" if own else "another privacy section") in said
    assert isinstance(executor._process, FakeTrainer) and executor._process.told == []
    assert not (hospital.root / "state/privacy").exists() and hospital.kept() == []
    hospital.answer(executor, "train", privacy=own)
    assert executor._process.told, "under the same section it is trained"


# ------------------------------------------------------------------ a policy that changes while a job runs


def stats(hospital: Hospital, executor: SiteExecutor) -> Any:
    """Is what the console's show_stats tells of the executor."""
    collector = GroupInfoCollector()
    context = hospital.context()
    context.set_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR, collector, private=True, sticky=False)
    executor.handle_event(InfoCollector.EVENT_TYPE_GET_STATS, context)
    return collector.info.get(STATS_GROUP)


def test_a_cohort_that_is_protected_meanwhile_is_neither_trained_on_nor_watched(hospital: Hospital) -> None:
    hospital.site.add("blobs", "p1", NoBudget())
    executor = hospital.executor("blobs")
    hospital.answer(executor, "train")
    assert isinstance(executor._process, FakeTrainer) and executor._process.told == ["train"]
    assert stats(hospital, executor) == {"step": 7, "loss": 0.5}
    hospital.site.add("blobs", "p1", BUDGET)
    for task in ("train", "submit_model", "validate", "initialize"):
        assert "declined" in error_of(hospital.answer(executor, task, split="test", model="global"))
    assert executor._process.told == ["train"] and stats(hospital, executor) == {}


@pytest.mark.parametrize("policy", ["{", '{"schema_version": 1, "cohorts": {}}'])
def test_without_a_policy_that_decides_nobody_watches(policy: str, hospital: Hospital) -> None:
    hospital.site.add("blobs", "p1", NoBudget())
    executor = hospital.executor("blobs")
    hospital.answer(executor, "train")
    (hospital.site.local / PRIVACY_FILE).write_text(policy)
    assert stats(hospital, executor) == {}


def test_a_budget_that_is_lowered_meanwhile_stops_the_run(hospital: Hospital) -> None:
    hospital.site.add("blobs", "p1", BUDGET)
    executor = hospital.executor("blobs", SECTION)
    hospital.answer(executor, "train", current_round=0, total_rounds=2)
    hospital.site.add("blobs", "p1", BUDGET.model_copy(update={"epsilon": 1e-3}))
    assert isinstance(executor._process, FakeTrainer)
    assert "declined" in error_of(hospital.answer(executor, "train", current_round=1, total_rounds=2))
    assert executor._process.told == ["initialize", "train"]


# ------------------------------------------------------------------ what the server says with each round


def test_the_trainer_is_told_of_the_correction_and_of_its_own_last_accepted_round(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    executor = hospital.executor("open")
    hospital.answer(executor, "train", correction={"name": "scaffold"}, accepted={"hospital-a": 3, "hospital-b": 4})
    asked = executor._process.headers[-1]
    assert (asked["correction"], asked["accepted"]) == ({"name": "scaffold"}, 3)
    hospital.answer(executor, "train", accepted={"hospital-b": 4})
    assert executor._process.headers[-1]["accepted"] is None


def test_a_personal_models_scores_leave_as_a_summary(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    executor = hospital.executor("open")
    row = {"case": "c1", "dice": {"blob": 0.5}, "hd95_mm": {"blob": 1.0}}
    executor._process.result = {"scores": [row], "personal_scores": [row | {"dice": {"blob": 0.75}}]}
    left = FLModelUtils.from_shareable(hospital.answer(executor, "validate", split="test", model="global"))
    assert left.meta["personal"]["classes"]["blob"]["dice_mean"] == 0.75
    assert left.meta["score"]["classes"]["blob"]["dice_mean"] == 0.5 and "c1" not in str(left.meta)


def test_a_model_that_the_site_holds_is_scored_without_being_sent(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    executor = hospital.executor("open")
    hospital.answer(executor, "train", down=True)
    trainer = executor._process
    assert isinstance(trainer, FakeTrainer)
    trainer.result = {"scores": [{"case": "c1", "dice": {"blob": 0.5}, "hd95_mm": {"blob": 1.0}}]}

    def asked(base: str) -> Shareable:
        meta = {"split": "test", "model": "global", "base": base, "down": True}
        message = FLModel(metrics=dict(NO_ARRAYS), current_round=1, total_rounds=1, meta=meta)
        context = hospital.context("validate")
        return executor.execute("validate", FLModelUtils.to_shareable(message), context, Signal())

    reply = FLModelUtils.from_shareable(asked(fingerprint(MODEL)))
    assert reply.meta["score"]["cases"] == 1 and trainer.told == ["train", "evaluate"]
    np.testing.assert_array_equal(trainer.arrays[-1]["conv.weight"], MODEL["conv.weight"])
    assert error_of(asked(fingerprint(OWN))) == LACKS_MODEL and trainer.told == ["train", "evaluate"]


# ------------------------------------------------------------------ a hospital that lets updates leave in sums only

IN_SUMS = NoBudget(in_sums=InSums(least_sites=3, partners=("hospital-a", "hospital-b", "hospital-c")))


def test_a_hospital_that_wants_sums_trains_no_round_in_the_clear_and_is_not_watched(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", IN_SUMS)
    executor = hospital.executor("open")
    assert "masked only" in error_of(hospital.answer(executor, "train"))
    assert stats(hospital, executor) == {}
    hospital.site.add("open", "p1", NoBudget())
    hospital.answer(executor, "train")
    assert stats(hospital, executor) != {}


def test_a_secure_round_that_the_site_has_not_begun_is_not_trained(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    executor = hospital.executor("open")
    secure = {"dealt": {}, "bits": 16, "steps": {"conv.weight": 1.0}}
    assert "has not begun" in error_of(hospital.answer(executor, "train", secure=secure))
    assert "ring" in error_of(hospital.answer(executor, "train", secure=secure | {"bits": 7}))
    trainer = executor._process
    assert isinstance(trainer, FakeTrainer) and "train" not in trainer.told


def test_scores_of_the_cases_that_were_trained_on_are_nobodys(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())
    executor = hospital.executor("open")
    assert "and no others" in error_of(hospital.answer(executor, "validate", split="training", model="global"))
