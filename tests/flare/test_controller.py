"""The controller against hostile, broken and silent sites: the run goes on with the others; the outcome says why."""

import copy
import math
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import UpdateError
from fedvoxel.federation import rounds as rounds_module
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.sent_bytes import BesideRounds
from fedvoxel.flare.controller import FedAvgController
from fedvoxel.flare.messages import LACKS_MODEL, TASK_INITIALIZE, TASK_TRAIN, TASK_VALIDATE, error_reply, result_reply
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.records.audit import AUDIT_FILE, AuditLog
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, encode
from tests.private_section import PRIVACY

HOSTILE = "hospital-b"
GOOD = ("hospital-a", "hospital-c")
SILENT = {"min_sites": 3, "round_timeout_s": 0.5}
MODEL = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)}
META = {"case_count": 5, "validation": {"cases": 2, "dice": {"organ": 0.5}}, "loss": 0.3}
TEST_SCORE = {"score": {"cases": 2, "classes": {"organ": {"cases": 2, "dice_mean": 0.5}}}}

Answer = Callable[[str], list[Shareable]]
"""What a site replies to a task of that name: nothing, one reply, or several."""


def update(value: float = 0.5, meta: dict[str, Any] | None = None, **arrays: Any) -> Shareable:
    """Returns the reply of a site to the task train."""
    filled = {name: np.full_like(array, value) for name, array in MODEL.items()}
    return result_reply(META | (meta or {}), filled | arrays, difference=True)


def well_behaved(task: str) -> list[Shareable]:
    replies = {
        TASK_INITIALIZE: result_reply({}, MODEL, difference=False),
        TASK_TRAIN: update(),
        TASK_VALIDATE: result_reply(TEST_SCORE, {}, difference=False),
    }
    return [replies[task]]


def released(task: str) -> list[Shareable]:
    """Behaves as a site under a privacy section: its filter sends a release's id, and every case count is one."""
    meta = {"release_id": secrets.token_hex(16), "case_count": 1}
    filled = {name: np.full_like(array, 0.5) for name, array in MODEL.items()}
    return [result_reply(meta, filled, difference=True)] if task == TASK_TRAIN else well_behaved(task)


def in_training(*replies: Shareable) -> Answer:
    """Returns a site that behaves, but for what it replies to the task train."""
    return lambda task: list(replies) if task == TASK_TRAIN else well_behaved(task)


def named(reply: Shareable, task: Task, run_key: str) -> Shareable:
    """Returns a reply as an honest executor's: it names its run and round, and its update is another in each round.

    A reply that names a round itself is left as it is.
    """
    dxo = reply.get("DXO")
    if task.name != TASK_TRAIN or not isinstance(dxo, dict) or "round" in dxo["meta"]:
        return reply
    index = int(FLModelUtils.from_shareable(task.data).current_round or 0)
    made = copy.deepcopy(reply)
    made["DXO"]["meta"] |= {"run_key": run_key, "round": index}
    weight = made["DXO"]["data"].get("weight")
    if isinstance(weight, np.ndarray) and weight.dtype == np.float32 and "release_id" not in dxo["meta"]:
        weight.flat[0] += np.float32(index * 2**-10)
    return made


class FakeSites:
    """Stands where FLARE's communicator does: hands each task to the sites and their replies back at once."""

    def __init__(self, controller: FedAvgController, answers: dict[str, Answer]) -> None:
        self._controller, self._answers = controller, answers

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *_: Any) -> None:
        for site in targets:
            self._controller.handle_event(EventType.BEFORE_TASK_DATA_FILTER, from_peer(site))
            for reply in self._answers[site](task.name):
                answered = ClientTask(Client(site, ""), task)
                answered.result = named(reply, task, self._controller.run_key)
                assert task.result_received_cb
                task.result_received_cb(answered, fl_ctx)

    def process_task_request(self, client: Client, fl_ctx: FLContext) -> tuple[str, str, Shareable]:
        return "a task", "1", Shareable()

    def cancel_all_tasks(self, *_: Any) -> None:
        pass

    def get_client_disconnect_time(self, site: str) -> None:
        return None


def from_peer(site: str) -> FLContext:
    """Is the context in which FLARE gives a site its task."""
    context, peer = FLContext(), FLContext()
    peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    context.set_peer_context(peer)
    return context


class FakeCell:
    """Is as much of FLARE's messaging as the controller meets: here replies come with their arrays."""

    def __init__(self) -> None:
        self.decode_pass_through_topics: set[tuple[str, str]] = set()

    def update_fobs_context(self, props: dict[str, Any]) -> None:
        pass


class FakeEngine:
    """Is as much of FLARE's server engine as the controller meets."""

    def __init__(self, folder: Path, sites: list[str]) -> None:
        self._folder, self._sites = folder, sites
        self.panics: list[str] = []
        self._cell = FakeCell()

    def get_cell(self) -> FakeCell:
        return self._cell

    def get_clients(self) -> list[Client]:
        return [Client(site, "") for site in self._sites]

    def get_workspace(self) -> "FakeEngine":
        return self

    def get_root_dir(self) -> str:
        return str(self._folder)

    def get_startup_kit_dir(self) -> str:
        return str(self._folder / "startup")

    def get_run_dir(self, job_id: str) -> str:
        folder = self._folder / job_id
        folder.mkdir(exist_ok=True)
        return str(folder)

    def get_app_dir(self, job_id: str) -> str:
        return str(self._folder / job_id / "app_server")

    def register_app_command(self, topic: str, handler: Any) -> None:
        pass

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.FATAL_SYSTEM_ERROR:
            self.panics.append(str(fl_ctx.get_prop(FLContextKey.EVENT_DATA)))


def run(folder: Path, hostile: Answer, good: tuple[str, ...] = GOOD, **rounds: Any) -> RunOutcome:
    """Runs two rounds with the good sites and the hostile one and returns the outcome that was written."""
    return run_sites(folder, dict.fromkeys(good, well_behaved) | {HOSTILE: hostile}, **rounds)


def run_sites(folder: Path, answers: dict[str, Answer], kind: type[FakeSites] = FakeSites, **rounds: Any) -> RunOutcome:
    """Runs two rounds with these sites and returns the outcome that was written."""
    panics = panics_of(folder, answers, kind, **rounds)
    outcome = load_outcome(folder / rounds.get("job_id", "job-1") / OUTCOME_FILE)
    assert bool(panics) == (outcome.status in ("failed", "unfinished"))
    return outcome


def panics_of(folder: Path, answers: dict[str, Answer], kind: type[FakeSites] = FakeSites, **rounds: Any) -> list[str]:
    """Runs two rounds with these sites and returns what FLARE was told went wrong."""
    privacy, start_from = rounds.pop("privacy", None), rounds.pop("start_from", None)
    said = {"plan_source": rounds.pop("plan_source", "fixed"), "choices": rounds.pop("choices", "public")}
    meta = rounds.pop("meta", None)
    run_key, job_id = rounds.pop("run_key", "a_run"), rounds.pop("job_id", "job-1")
    section = {"num_rounds": 2, "min_sites": 2, "round_timeout_s": 2} | rounds
    controller = FedAvgController(section, run_key, privacy, start_from, **said, task_check_period=0.01)
    engine = FakeEngine(folder, list(answers))
    context = FLContext()
    context.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, job_id, private=False, sticky=False)
    context.set_prop(FLContextKey.JOB_META, meta, private=True, sticky=False)
    runner = SimpleNamespace(config=SimpleNamespace(task_request_interval=0.2))
    context.set_prop(FLContextKey.RUNNER, runner, private=True, sticky=False)
    controller.communicator = kind(controller, answers)
    controller.initialize(context)
    controller.control_flow(Signal(), context)
    return engine.panics


REFUSED = {
    "NaN": (update(math.nan), "non-finite"),
    "infinity": (update(math.inf), "non-finite"),
    "absurd values": (update(1e6), "absurd values"),
    "1e30": (update(1e30), "absurd values"),
    "another run": (update(meta={"run_key": "other_run", "round": 0}), "of run other_run, expected one to round"),
    "a later round": (update(meta={"run_key": "a_run", "round": 7}), "an answer to round 7 of run a_run"),
    "true as the round": (update(meta={"run_key": "a_run", "round": True}), "an answer to round True"),
    "no run": (update(meta={"round": 0}), "of run None"),
    "unknown key": (update(extra=np.zeros(1, np.float32)), "wrong keys"),
    "missing key": (result_reply(META, {"bias": MODEL["bias"]}, difference=True), "wrong keys"),
    "wrong shape": (update(bias=np.zeros((3, 1), np.float32)), "wrong shape"),
    "integers": (update(bias=np.zeros(3, np.int64)), "wrong type"),
    "objects": (update(bias=np.array([None, None, None])), "wrong type"),
    "no array": (update(bias=[0.0, 0.0, 0.0]), "wrong type"),
    "nested": (update(bias={"weight": np.zeros(3, np.float32)}), "wrong type"),
    "very long key": (update(**{"k" * 5000: np.zeros(1, np.float32)}), "wrong keys"),
    "full weights": (result_reply(META, MODEL, difference=False), "full weights"),
    "no arrays": (result_reply(META, {}, difference=False), "difference"),
    "huge weight": (update(meta={"case_count": 10**12}), "absurd weight"),
    "negative weight": (update(meta={"case_count": -5}), "absurd weight"),
    "fractional weight": (update(meta={"case_count": 2.5}), "absurd weight"),
    "weight in words": (update(meta={"case_count": "many"}), "absurd weight"),
    "NaN loss": (update(meta={"loss": math.nan}), "loss"),
    "validation in words": (update(meta={"validation": "good"}), "validation score"),
    "validation above one": (update(meta={"validation": {"cases": 2, "dice": {"organ": 1.5}}}), "validation score"),
    "NaN validation": (update(meta={"validation": {"cases": 2, "dice": {"organ": math.nan}}}), "validation score"),
    "huge validation": (
        update(meta={"validation": {"cases": 10**15, "dice": {"organ": 1.0}}}),
        "absurd weight",
    ),
    "negative refused cases": (update(meta={"refused_cases": -1}), "absurd refused_cases"),
    "true refused cases": (update(meta={"refused_cases": True}), "absurd refused_cases"),
    "fractional refused cases": (update(meta={"refused_cases": 2.0}), "absurd refused_cases"),
    "refused cases in words": (update(meta={"refused_cases": "some"}), "absurd refused_cases"),
    "huge refused cases": (update(meta={"refused_cases": 10**12}), "absurd refused_cases"),
    "much nonsense": (update(meta={"validation": {f"key{i}": i for i in range(500)}}), "validation score"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unacceptable_update_is_refused_and_the_others_go_on(case: str, tmp_path: Path) -> None:
    reply, reason = REFUSED[case]
    outcome = run(tmp_path, in_training(reply))
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2)
    for record in outcome.rounds:
        assert set(record.contributed) == set(GOOD)
        assert set(record.refused) == {HOSTILE} and reason in record.refused[HOSTILE]
        assert HOSTILE not in record.validation
    assert HOSTILE not in outcome.refused_cases
    np.testing.assert_array_equal(_final_model(tmp_path)["bias"], np.full(3, 1.0, np.float32))


def _final_model(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "job-1" / "global_model.npz"))


def test_everyone_well_behaved(tmp_path: Path) -> None:
    outcome = run(tmp_path, well_behaved)
    assert (outcome.status, outcome.rounds_committed, len(outcome.test)) == ("finished", 2, 3)
    assert all(len(record.contributed) == 3 and not record.refused for record in outcome.rounds)
    assert outcome.untested == Absences() and outcome.refused_cases == {}
    assert outcome.beside_rounds == BesideRounds(first_model_up=36, validation_down=3 * 36, test_down=3 * 36)


def test_the_cases_that_a_site_could_not_use_are_counted(tmp_path: Path) -> None:
    only_evaluates = result_reply({"case_count": 0, "refused_cases": 3}, {}, difference=True)
    answers = {HOSTILE: in_training(only_evaluates), "hospital-d": in_training(update(meta={"refused_cases": 0}))}
    outcome = run_sites(tmp_path, dict.fromkeys(GOOD, well_behaved) | answers)
    assert outcome.refused_cases == {HOSTILE: 3, "hospital-d": 0}


def test_a_second_update_in_one_round_does_not_count(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(update(0.5), update(900.0)))
    assert outcome.status == "finished"
    assert all(set(record.contributed) == {*GOOD, HOSTILE} for record in outcome.rounds)
    np.testing.assert_array_equal(_final_model(tmp_path)["bias"], np.full(3, 1.0, np.float32))


def test_an_error_reply_is_missing_with_its_reason(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(error_reply("the trainer process ended with signal 9")))
    assert all(record.missing == {HOSTILE: "the trainer process ended with signal 9"} for record in outcome.rounds)


def test_a_silent_site_is_missing_after_the_deadline(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training())
    assert outcome.status == "finished"
    assert all("no reply within" in record.missing[HOSTILE] for record in outcome.rounds)


class LateSites(FakeSites):
    """Holds back the hostile site's update of a round until the next round is open."""

    _held: Callable[[], None] | None = None

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        held, self._held = self._held, None
        if held:
            held()
        if task.name != TASK_TRAIN:
            super().broadcast(task, fl_ctx, targets, *rest)
            return
        super().broadcast(task, fl_ctx, [site for site in targets if site != HOSTILE], *rest)
        self._held = lambda: super(LateSites, self).broadcast(task, fl_ctx, [HOSTILE], *rest)


@pytest.mark.parametrize("reply", [update(900.0), error_reply("out of memory")])
def test_a_late_reply_does_not_count_in_the_next_round(reply: Shareable, tmp_path: Path) -> None:
    answers = dict.fromkeys(GOOD, well_behaved) | {HOSTILE: in_training(reply)}
    outcome = run_sites(tmp_path, answers, LateSites, round_timeout_s=0.5)
    assert all("no reply within" in record.missing[HOSTILE] for record in outcome.rounds)
    np.testing.assert_array_equal(_final_model(tmp_path)["bias"], np.full(3, 1.0, np.float32))


def test_an_unreadable_reply_is_not_waited_for(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(Shareable()), round_timeout_s=60)
    assert all(record.missing == {HOSTILE: "an unreadable reply"} for record in outcome.rounds)
    assert (outcome.finished - outcome.started).total_seconds() < 30


def test_a_site_without_training_cases_takes_part_without_counting(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(result_reply({"case_count": 0, "validation": None}, {}, difference=True)))
    assert all(record.evaluation_only == (HOSTILE,) and not record.refused for record in outcome.rounds)


@pytest.mark.parametrize("model", [{}, {"bias": np.full(3, math.nan, np.float32)}, {"bias": "none"}])
def test_a_useless_initial_model_is_not_taken(model: dict[str, Any], tmp_path: Path) -> None:
    def hostile(task: str) -> list[Shareable]:
        return [result_reply({}, model, difference=False)] if task == TASK_INITIALIZE else well_behaved(task)

    outcome = run_sites(tmp_path, {HOSTILE: hostile} | dict.fromkeys(("hospital-c", "hospital-d"), well_behaved))
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2)
    assert set(outcome.no_first_model.refused) == {HOSTILE}
    (audited,) = _audited(tmp_path, "initialize")
    assert audited[:3] == (HOSTILE, "refused", None) and audited[3] == outcome.no_first_model.refused[HOSTILE]


def test_a_site_that_hangs_over_the_first_model_is_waited_for_as_long_as_a_site_may_take(tmp_path: Path) -> None:
    def hangs(task: str) -> list[Shareable]:
        return [] if task == TASK_INITIALIZE else well_behaved(task)

    answers = {"a": hangs} | dict.fromkeys(("b", "c"), well_behaved)
    outcome = run_sites(tmp_path, answers, round_timeout_s=60, site_timeout_s=1)
    assert outcome.no_first_model.missing == {"a": "took longer than the 1 s that a site may"}
    assert (outcome.status, outcome.first_model_from) == ("finished", "b")
    assert (outcome.finished - outcome.started).total_seconds() < 30


def test_a_run_without_any_first_model_says_why_each_site_gave_none(tmp_path: Path) -> None:
    answers = {
        "a": lambda task: [result_reply({}, {"bias": np.full(3, math.nan, np.float32)}, difference=False)],
        "b": lambda task: [error_reply("no memory")],
    }
    outcome = run_sites(tmp_path, answers)
    assert outcome.status == "failed" and not outcome.rounds
    expected = Absences(missing={"b": "no memory"}, refused={"a": "non-finite values in bias"})
    assert outcome.no_first_model == expected and outcome.beside_rounds.first_model_up == 12
    assert _audited(tmp_path, "initialize") == [
        ("a", "refused", None, "non-finite values in bias"),
        ("b", "missing", None, "no memory"),
    ]


@pytest.mark.parametrize(
    "score", [None, {"cases": -1, "classes": {}}, {"cases": 1, "classes": {"organ": {"cases": 7}}}]
)
def test_a_malformed_test_score_is_left_out(score: Any, tmp_path: Path) -> None:
    def hostile(task: str) -> list[Shareable]:
        return [result_reply({"score": score}, {}, difference=False)] if task == TASK_VALIDATE else well_behaved(task)

    outcome = run(tmp_path, hostile)
    assert outcome.status == "finished" and set(outcome.test) == set(GOOD)
    assert outcome.untested and outcome.untested.missing == {} and set(outcome.untested.refused) == {HOSTILE}
    assert "the test score" in outcome.untested.refused[HOSTILE]


@pytest.mark.parametrize("personal", [TEST_SCORE["score"], {"cases": -1, "classes": {}}])
def test_a_personal_models_score_is_recorded_or_refused_with_the_rest(personal: Any, tmp_path: Path) -> None:
    def hostile(task: str) -> list[Shareable]:
        told = TEST_SCORE | {"personal": personal}
        return [result_reply(told, {}, difference=False)] if task == TASK_VALIDATE else well_behaved(task)

    outcome = run(tmp_path, hostile)
    good = personal == TEST_SCORE["score"]
    assert set(outcome.personal) == ({HOSTILE} if good else set())
    assert (HOSTILE in outcome.test) == good


def test_control_variates_travel_with_a_correction_and_are_asked_for(tmp_path: Path) -> None:
    def scaffold(task: str) -> list[Shareable]:
        changes = {f"control:{name}": np.ones_like(array) for name, array in MODEL.items()}
        return [update(**changes)] if task == TASK_TRAIN else well_behaved(task)

    outcome = run_sites(
        tmp_path, dict.fromkeys(GOOD, scaffold) | {HOSTILE: well_behaved}, correction={"name": "scaffold"}
    )
    assert outcome.status == "finished" and set(outcome.rounds[1].contributed) == set(GOOD)
    assert "control:" in outcome.rounds[0].refused[HOSTILE]
    plain = run(tmp_path, well_behaved)
    assert outcome.rounds[0].bytes_down == 2 * plain.rounds[0].bytes_down


def test_only_the_selected_sites_are_asked_to_train_and_all_score_the_last_model(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def site(name: str) -> Answer:
        def answer(task: str) -> list[Shareable]:
            asked.append((name, task))
            return well_behaved(task)

        return answer

    names = ["a", "b", "c", "d"]
    rule = {"name": "random", "fraction": 0.5}
    outcome = run_sites(tmp_path, {name: site(name) for name in names}, selection=rule, num_rounds=4)
    assert outcome.status == "finished"
    for record in outcome.rounds:
        assert len(record.contributed) == 2 and set(record.contributed) | set(record.not_selected) == set(names)
        assert not set(record.contributed) & set(record.not_selected) and not record.missing
        assert all("not chosen by random" in reason for reason in record.not_selected.values())
    trained = [name for name, task in asked if task == TASK_TRAIN]
    assert trained == [name for record in outcome.rounds for name in sorted(record.contributed)]
    assert set(trained) == set(names), "nobody is left out more than three rounds in a row"
    assert [task for _, task in asked].count(TASK_VALIDATE) == 2 * len(names)


def _encoded(value: float, codec: dict[str, Any]) -> Shareable:
    arrays = {name: np.full_like(array, value) for name, array in MODEL.items()}
    payload, _ = encode(arrays, READ_CODEC.validate_python(codec), np.random.default_rng(0), {})
    return result_reply(META, {PAYLOAD: as_array(payload)}, difference=True)


def _in_rounds(*replies: Shareable) -> Answer:
    """Returns a site that behaves, but for what it replies to the task train in each round."""
    left = list(replies)
    return lambda task: [left.pop(0)] if task == TASK_TRAIN else well_behaved(task)


def test_in_the_place_of_a_selected_site_that_brings_nothing_another_is_asked(tmp_path: Path) -> None:
    names = (*GOOD, HOSTILE, "hospital-d")
    answers = dict.fromkeys(names, well_behaved) | {HOSTILE: in_training(update(math.nan))}
    rule = {"name": "random", "fraction": 0.5, "seed": 1, "most_rounds_left_out": 1}
    outcome = run_sites(tmp_path, answers, selection=rule, num_rounds=4)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4)
    asked = [HOSTILE in record.refused for record in outcome.rounds]
    assert any(asked) and not all(asked)
    for record in outcome.rounds:
        took_part = set(record.contributed) | set(record.refused)
        assert len(record.contributed) == 2 and took_part.isdisjoint(record.not_selected)
        assert took_part | set(record.not_selected) == set(names)
        assert record.bytes_down == 36 * len(took_part)


def test_a_bomb_and_a_codec_of_another_version_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    codec = {"name": "fp16"}
    bomb = b"FVC" + bytes([1]) + zstandard.ZstdCompressor().compress(bytes(2**30))
    unknown = b"FVC" + bytes([9]) + bomb[4:]
    assert len(bomb) < 2**16, "small on the wire"
    payloads = {
        "bomb": (bomb, "unpacks to more than"),
        "version": (unknown, "payload of version 9; this package reads"),
    }
    answers = {site: _in_rounds(_encoded(0.5, codec), _encoded(0.25, codec)) for site in GOOD}
    for site, (payload, _) in payloads.items():
        answers[site] = in_training(result_reply(META, {PAYLOAD: as_array(payload)}, difference=True))
    outcome = run_sites(tmp_path, answers, compression={"up": codec})
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2)
    for record in outcome.rounds:
        assert set(record.contributed) == set(GOOD) and set(record.refused) == set(payloads)
        assert all(said in record.refused[site] for site, (_, said) in payloads.items())


def _named(reply: Shareable, index: int) -> Shareable:
    """Returns a reply that names its round, and so is sent as it is."""
    reply["DXO"]["meta"] |= {"run_key": "a_run", "round": index}
    return reply


def _model_after(rounds: int) -> dict[str, np.ndarray]:
    """Is what the global model is where all but the hostile site sent 0.5, apart from the honest ones' own mark."""
    made = {name: np.full_like(array, 0.5 * rounds) for name, array in MODEL.items()}
    made["weight"][0, 0] += sum(index * 2**-10 for index in range(rounds))
    return made


REPLAYED = {
    "its own last update": (update(0.75), update(0.75), "this site's own update of round 0"),
    "the global model": (update(math.nan), update(**_model_after(1)), "the global model of round 1"),
    "zeros": (update(0.75), update(0.0), "zeros only"),
    "more cases than before": (update(0.75), update(meta={"case_count": 6}), "began with 5 cases, got 6"),
}


@pytest.mark.parametrize("case", REPLAYED)
def test_what_was_sent_before_is_refused_and_the_others_go_on(case: str, tmp_path: Path) -> None:
    first, second, said = REPLAYED[case]
    outcome = run(tmp_path, _in_rounds(_named(first, 0), _named(second, 1)))
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2)
    assert said in outcome.rounds[1].refused[HOSTILE] and set(outcome.rounds[1].contributed) == set(GOOD)


def test_the_job_may_fix_how_many_cases_a_site_has(tmp_path: Path) -> None:
    outcome = run(tmp_path, well_behaved, case_counts={HOSTILE: 4, GOOD[0]: 5})
    assert all(set(record.contributed) == set(GOOD) for record in outcome.rounds)
    assert "the job gives this site 4 cases, got 5" in outcome.rounds[0].refused[HOSTILE]


def test_who_was_refused_or_missing_stands_in_the_audit(tmp_path: Path) -> None:
    def hostile(task: str) -> list[Shareable]:
        return [error_reply("no disk")] if task == TASK_VALIDATE else in_training(update(math.nan))(task)

    run(tmp_path, hostile)
    said = [
        (event.run_key, event.job_id, event.site, event.outcome, event.task, event.round, event.reason)
        for _, event in AuditLog(tmp_path / "state").read()
        if event.outcome in ("refused", "missing")
    ]
    about = ("a_run", "job-1", HOSTILE)
    assert said[:2] == [(*about, "refused", "train", index, "non-finite values in weight") for index in (0, 1)]
    others = [line for line in said[2:] if line[2] == HOSTILE]
    assert others == [(*about, "missing", task, None, "no disk") for task in ("validation", "test")]


def _audited(folder: Path, task: str) -> list[tuple[str, str, int | None, str]]:
    """Is what the audit says of one kind of question."""
    events = [event for _, event in AuditLog(folder / "state").read()]
    return [
        (event.site, event.outcome, event.round, event.reason)
        for event in events
        if event.task == task and event.reason
    ]


def test_a_round_that_fails_is_in_the_audit_too(tmp_path: Path) -> None:
    answers = {"a": in_training(update(math.nan)), "b": in_training(error_reply("no memory")), "c": well_behaved}
    outcome = run_sites(tmp_path, answers)
    assert outcome.status == "failed" and outcome.rounds_committed == 0
    (record,) = outcome.rounds
    assert set(record.refused) == {"a"} and record.missing == {"b": "no memory"} and record.bytes_up == 2 * 36
    said = [("a", "refused", 0, "non-finite values in weight"), ("b", "missing", 0, "no memory")]
    assert _audited(tmp_path, "train") == said


class AbortedSites(FakeSites):
    """Has the run aborted as soon as the sites have answered the task train."""

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        super().broadcast(task, fl_ctx, targets, *rest)
        if task.name == TASK_TRAIN:
            while self._controller.line.up < 2 * 36:
                time.sleep(0.01)
            self._controller.abort_signal.trigger(True)


def test_what_was_refused_before_a_run_was_aborted_is_in_the_record(tmp_path: Path) -> None:
    answers = {"a": in_training(update(math.nan)), "b": well_behaved, "silent": in_training()}
    outcome = run_sites(tmp_path, answers, AbortedSites, round_timeout_s=60)
    assert outcome.status == "aborted"
    assert set(outcome.rounds[0].refused) == {"a"} and outcome.rounds[0].contributed == {"b": 5}
    assert _audited(tmp_path, "train") == [("a", "refused", 0, "non-finite values in weight")]


class LostSites(FakeSites):
    """Never gives the hostile site a task to train, as FLARE never does where it has lost its connection."""

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        there = [site for site in targets if site != HOSTILE or task.name != TASK_TRAIN]
        super().broadcast(task, fl_ctx, there, *rest)


def test_a_site_that_was_given_nothing_was_sent_nothing(tmp_path: Path) -> None:
    answers = dict.fromkeys((*GOOD, HOSTILE), well_behaved)
    outcome = run_sites(tmp_path, answers, LostSites, round_timeout_s=0.5)
    assert [record.bytes_down for record in outcome.rounds] == [2 * 36, 2 * 36]
    assert outcome.beside_rounds.validation_down == 3 * 36


def _liar(cases: int, dice: float) -> Answer:
    """Returns a site that behaves, but for the score that it reports of the model of round 0."""
    score = {"cases": cases, "dice": {"organ": dice}}
    return _in_rounds(update(0.75), _named(update(0.25, {"validation": score}), 1))


@pytest.mark.parametrize("cases", [6, 100_000])
def test_a_site_that_the_job_names_scores_no_more_cases_than_it_has(cases: int, tmp_path: Path) -> None:
    outcome = run(tmp_path, _liar(cases, 1.0), case_counts=dict.fromkeys((*GOOD, HOSTILE), 5))
    assert f"gives this site 5 cases, got a validation score of {cases}" in outcome.rounds[1].refused[HOSTILE]
    assert HOSTILE not in outcome.rounds[0].validation and len(outcome.rounds[0].validation) == 2


def test_a_score_weighs_at_most_as_many_cases_as_the_site_trains_on(tmp_path: Path) -> None:
    outcome = run(tmp_path, _liar(100_000, 1.0))
    counted = {site: score.cases for site, score in outcome.rounds[0].validation.items()}
    assert counted == dict.fromkeys(GOOD, 2) | {HOSTILE: 5} and not outcome.rounds[1].refused


def test_a_score_of_the_last_model_weighs_no_more_either(tmp_path: Path) -> None:
    def hostile(task: str) -> list[Shareable]:
        score = {"score": {"cases": 100_000, "dice": {"organ": 1.0}}}
        return [result_reply(score, {}, difference=False)] if task == TASK_VALIDATE else well_behaved(task)

    outcome = run(tmp_path, hostile)
    assert outcome.rounds[-1].validation[HOSTILE].cases == 5


def test_a_score_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(update(meta={"validation": None})), evaluate=False, min_sites=1)
    assert (outcome.status, outcome.best_round) == ("finished", None)
    for record in outcome.rounds:
        assert set(record.contributed) == {HOSTILE} and set(record.refused) == set(GOOD) and not record.validation
        assert "nobody asked for" in record.refused[GOOD[0]]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"case_counts": {"hospital-aa": 5}}, "hospital-aa is not in this run"),
        ({"contribution": {"method": "shapley"}}, "expected at most 10; write gtg_shapley"),
        ({"max_cases_per_site": 1_000_000}, "write at most 190650"),
    ],
)
def test_what_the_sites_of_a_run_cannot_do_is_said_before_anybody_is_asked(
    section: dict[str, Any], said: str, tmp_path: Path
) -> None:
    asked: list[str] = []

    def watching(task: str) -> list[Shareable]:
        asked.append(task)
        return well_behaved(task)

    outcome = run_sites(tmp_path, {f"hospital-{index}": watching for index in range(11)}, **section)
    assert outcome.status == "failed" and said in str(outcome.reason) and not asked and not outcome.rounds


def test_an_audit_that_cannot_be_trusted_fails_the_run(tmp_path: Path) -> None:
    run(tmp_path, in_training(update(math.nan)))
    log = tmp_path / "state" / "audit" / AUDIT_FILE
    log.write_bytes(log.read_bytes().replace(b"non-finite", b"harmless!!"))
    outcome = run(tmp_path, in_training(update(math.nan)), run_key="another_run")
    assert outcome.status == "failed" and AUDIT_FILE in str(outcome.reason)


def test_encoded_updates_are_read_and_counted_and_others_refused(tmp_path: Path) -> None:
    codec = {"name": "fp16"}
    answers = {site: _in_rounds(_encoded(0.5, codec), _encoded(0.25, codec)) for site in GOOD}
    others = {HOSTILE: well_behaved, "hospital-d": in_training(_encoded(0.5, {"name": "int8"}))}
    outcome = run_sites(tmp_path, answers | others, compression={"up": codec})
    first = outcome.rounds[0]
    assert outcome.status == "finished" and set(first.contributed) == set(GOOD) and first.codecs == {"up": "fp16"}
    assert "expected an encoded difference" in first.refused[HOSTILE]
    assert "written as int8" in first.refused["hospital-d"]
    sent = FLModelUtils.from_shareable(_encoded(0.5, codec)).params[PAYLOAD]
    refused = FLModelUtils.from_shareable(_encoded(0.5, {"name": "int8"})).params[PAYLOAD].nbytes + 36
    assert first.bytes_up == 2 * sent.nbytes + refused, "what was refused has come all the same"
    np.testing.assert_allclose(_final_model(tmp_path)["bias"], 0.75)
    (tmp_path / "plain").mkdir()
    plain = run(tmp_path / "plain", in_training(_encoded(0.5, codec)))
    assert "expected plain arrays" in plain.rounds[0].refused[HOSTILE]


def test_a_site_that_lacks_the_model_is_sent_the_whole_in_the_same_round(tmp_path: Path) -> None:
    asked = {"hospital-b": 0}

    def lacking(task: str) -> list[Shareable]:
        if task != TASK_TRAIN:
            return well_behaved(task)
        asked["hospital-b"] += 1
        return [error_reply(LACKS_MODEL)] if asked["hospital-b"] == 1 else well_behaved(task)

    outcome = run(tmp_path, lacking, compression={"down": {"name": "fp16"}})
    whole = sum(array.nbytes for array in MODEL.values())
    assert set(outcome.rounds[0].contributed) == {*GOOD, HOSTILE} and not outcome.rounds[0].missing
    assert outcome.rounds[0].bytes_down == whole
    assert outcome.rounds[1].codecs == {"down": "fp16"} and 0 < outcome.rounds[1].bytes_down < 3 * 200
    beside = outcome.beside_rounds
    assert beside.first_model_up == whole and 0 < beside.validation_down < 3 * 200
    assert outcome.best_round == 0 and beside.test_down == 3 * whole, "an earlier model is tested, and sent whole"


def test_a_site_that_fails_after_the_last_round_is_missing_in_validation_and_test(tmp_path: Path) -> None:
    outcome = run(tmp_path, lambda task: [error_reply("no disk")] if task == TASK_VALIDATE else well_behaved(task))
    missing = Absences(missing={HOSTILE: "no disk"})
    assert outcome.untested == missing and set(outcome.test) == set(GOOD)
    assert outcome.unvalidated and outcome.unvalidated.missing == missing.missing


def test_a_run_that_fails_before_says_of_nobody_that_they_were_not_tested(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(error_reply("out of memory")), min_sites=3)
    assert (outcome.status, outcome.unvalidated, outcome.untested) == ("failed", None, None)


def test_too_few_sites_fail_the_run_with_everyones_reason(tmp_path: Path) -> None:
    outcome = run(tmp_path, in_training(error_reply("out of memory")), min_sites=3)
    assert (outcome.status, outcome.rounds_committed, outcome.model) == ("failed", 0, None)
    assert outcome.reason and "2 of the 3 sites" in outcome.reason and "out of memory" in outcome.reason
    assert outcome.rounds[0].missing == {HOSTILE: "out of memory"}


def test_a_run_goes_on_where_too_few_answered_since_sites_were_silent(tmp_path: Path) -> None:
    panics = panics_of(tmp_path, dict.fromkeys(GOOD, well_behaved) | {HOSTILE: in_training()}, **SILENT)
    assert "2 of the 3 sites" in panics[0] and "no reply within" in panics[0] and "when enough sites are" in panics[0]
    outcome = load_outcome(tmp_path / "state/runs/a_run" / OUTCOME_FILE)
    assert (outcome.status, outcome.rounds_committed) == ("unfinished", 0)
    assert "0 of 2 rounds are committed; round 0: 2 of the 3 sites" in str(outcome.reason)
    assert str(outcome.reason).endswith("when enough sites are connected")
    assert run(tmp_path, well_behaved, job_id="job-2", **SILENT).status == "finished"


def test_a_run_goes_on_where_nobody_gave_a_first_model_since_sites_were_silent(tmp_path: Path) -> None:
    panics = panics_of(tmp_path, dict.fromkeys(GOOD, lambda task: []), **SILENT)
    assert "no site could build the initial model" in panics[0] and "when enough sites are" in panics[0]
    assert run(tmp_path, well_behaved, job_id="job-2", **SILENT).status == "finished"


@pytest.mark.parametrize("wrong", [error_reply("out of memory"), update(math.nan)])
def test_a_silent_site_does_not_keep_a_run_going_that_lacks_others(wrong: Shareable, tmp_path: Path) -> None:
    """Had the silent one answered, the round would still have lacked the other."""
    sites = {GOOD[0]: well_behaved, GOOD[1]: in_training(), HOSTILE: in_training(wrong)}
    outcome = run_sites(tmp_path, sites, **SILENT)
    assert outcome.status == "failed" and outcome.reason and "1 of the 3 sites" in outcome.reason


def test_a_model_that_nobody_should_hold_fails_the_run_also_where_a_site_was_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Any] = []

    def absurd(arrays: Any) -> None:
        looked_at.append(arrays)
        if len(looked_at) > 1:  # the first is the model that the run begins with
            raise UpdateError("absurd values")

    monkeypatch.setattr(rounds_module, "check_values", absurd)
    outcome = run(tmp_path, in_training(), round_timeout_s=0.5)
    assert outcome.status == "failed" and "absurd values" in str(outcome.reason)


def test_a_long_list_of_reasons_still_makes_an_outcome(tmp_path: Path) -> None:
    failing = {f"hospital-{index}": in_training(error_reply("out of memory " * 500)) for index in range(40)}
    sites = dict.fromkeys(GOOD, well_behaved) | failing
    outcome = run_sites(tmp_path, sites, min_sites=3, max_cases_per_site=1000)
    assert outcome.status == "failed" and outcome.reason and "2 of the 3 sites" in outcome.reason
    assert set(outcome.rounds[0].missing) == set(failing)


def test_a_wrong_rounds_section_is_said_in_the_outcome(tmp_path: Path) -> None:
    outcome = run(tmp_path, well_behaved, num_round=3)
    assert outcome.status == "failed" and outcome.reason and "num_round" in outcome.reason


def test_a_private_run_asks_for_no_score_and_says_what_it_guarantees(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(task: str) -> list[Shareable]:
        asked.append(task)
        return released(task)

    outcome = run_sites(tmp_path, dict.fromkeys(GOOD, answer), privacy=PRIVACY, evaluate=False)
    assert outcome.status == "finished" and TASK_VALIDATE not in asked
    expected = PatientMechanism(PatientMechanismConfig.model_validate(PRIVACY)).guarantee(2)
    assert expected and outcome.privacy == expected.said()


def test_a_private_run_without_noise_claims_nothing(tmp_path: Path) -> None:
    answers = dict.fromkeys(GOOD, released)
    outcome = run_sites(tmp_path, answers, privacy=PRIVACY | {"noise_multiplier": None}, evaluate=False)
    assert outcome.status == "finished" and outcome.privacy.startswith(NO_GUARANTEE) and outcome.guarantee is None


def test_scores_beside_private_updates_leave_no_guarantee(tmp_path: Path) -> None:
    outcome = run_sites(tmp_path, dict.fromkeys(GOOD, released), privacy=PRIVACY, evaluate=True)
    assert outcome.guarantee is None and outcome.privacy.startswith(NO_GUARANTEE)
    assert "validation scores" in outcome.privacy


@pytest.mark.parametrize(
    ("privacy", "evaluate", "reason"),
    [
        (PRIVACY | {"delta": 0}, False, "delta"),
        (PRIVACY | {"unit": "hospital"}, False, "sites"),
        ({}, False, "unit"),
    ],
)
def test_a_claim_that_the_run_does_not_keep_fails_it(
    privacy: dict[str, Any], evaluate: bool, reason: str, tmp_path: Path
) -> None:
    outcome = run_sites(tmp_path, dict.fromkeys(GOOD, well_behaved), privacy=privacy, evaluate=evaluate)
    assert outcome.status == "failed" and reason in str(outcome.reason) and outcome.privacy == NO_GUARANTEE


def test_a_plan_made_from_statistics_leaves_no_claim(tmp_path: Path) -> None:
    answers = dict.fromkeys(GOOD, well_behaved)
    outcome = run_sites(tmp_path, answers, privacy=PRIVACY, evaluate=False, plan_source="statistics")
    assert outcome.privacy == f"{NO_GUARANTEE} (open: preprocessing plan)" and outcome.guarantee is None
    outcome = run_sites(tmp_path, answers, privacy=PRIVACY, evaluate=False, choices="private")
    assert outcome.guarantee is None and "hyper-parameters" in outcome.privacy
    outcome = run_sites(tmp_path, answers, evaluate=False, plan_source="somewhere")
    assert outcome.status == "failed" and "plan_source: expected fixed or statistics" in str(outcome.reason)


@pytest.mark.parametrize(
    ("promises", "reason"),
    [
        ({"unit": "patient", "epsilon": 100, "delta": 1e-3}, None),
        ({"unit": "patient", "epsilon": 0.01, "delta": 1e-3}, "promises epsilon 0.01"),
        ({"unit": "hospital", "epsilon": 100, "delta": 1e-3}, "for each hospital"),
        ({"unit": "patient"}, "promises.*epsilon"),
        ("everything", "promises"),
    ],
)
def test_a_promise_that_the_job_does_not_give_fails_it_before_anyone_is_asked(
    promises: Any, reason: str | None, tmp_path: Path
) -> None:
    asked: list[str] = []

    def answer(task: str) -> list[Shareable]:
        asked.append(task)
        return released(task)

    meta = {"name": "a job", "promises": promises}
    outcome = run_sites(tmp_path, dict.fromkeys(GOOD, answer), privacy=PRIVACY, evaluate=False, meta=meta)
    if reason is None:
        assert outcome.status == "finished" and outcome.guarantee
    else:
        assert outcome.status == "failed" and re.search(reason, str(outcome.reason)) and not asked
