"""What a site's update is worth, over the controller: sites score models of some of the others' updates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare.messages import TASK_TRAIN, TASK_VALIDATE, error_reply, result_reply
from fedvoxel.records.audit import AuditLog

from .test_controller import TEST_SCORE, Answer, FakeSites, run_sites, update, well_behaved

STEPS = {"a": 1.0, "b": 0.5, "c": -1.0}


def _dice(level: float) -> float:
    return 0.5 + 0.1 * level


class ScoringSites(FakeSites):
    """Scores a model by how high its bias stands."""

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        model = FLModelUtils.from_shareable(task.data)
        score = dict(TEST_SCORE)
        if model.meta.get("split") == "validation":
            score = {"score": {"cases": 2, "dice": {"organ": _dice(float(np.mean(model.params["bias"])))}}}
        answers = self._answers
        self._answers = {site: _scoring(answers[site], score) for site in answers}
        super().broadcast(task, fl_ctx, targets, *rest)
        self._answers = answers


def _scoring(answer: Answer, score: dict[str, Any]) -> Answer:
    def answered(task: str) -> list[Shareable]:
        own = answer(task)
        good = task == TASK_VALIDATE and own[0].get_return_code("OK") == "OK"
        return [result_reply(score, {}, difference=False)] if good else own

    return answered


def _site(step: float) -> Answer:
    return lambda task: [update(step)] if task == TASK_TRAIN else well_behaved(task)


def _run(folder: Path, answers: dict[str, Answer] | None = None, **contribution: Any) -> RunOutcome:
    sites = {site: _site(step) for site, step in STEPS.items()} | (answers or {})
    return run_sites(folder, sites, ScoringSites, contribution=contribution)


def test_leave_one_out_finds_who_helps_and_who_hurts(tmp_path: Path) -> None:
    outcome = _run(tmp_path, method="leave_one_out")
    found = outcome.rounds[0].contribution
    mean = sum(STEPS.values()) / 3
    by_hand = {
        site: _dice(mean) - _dice(sum(step for other, step in STEPS.items() if other != site) / 2) for site in STEPS
    }
    assert found and found.evaluations == 4 and found.without == found.values
    assert found.bytes_down == 4 * 3 * 36, "four models of nine numbers to three sites"
    assert [record.contribution_bytes_down for record in outcome.rounds] == [found.bytes_down] * 2
    assert found.values == pytest.approx(by_hand, abs=1e-6) and found.values["c"] < 0 < found.values["a"]


@pytest.mark.parametrize("method", ["shapley", "gtg_shapley"])
def test_shapley_values_share_out_what_the_round_has_gained(method: str, tmp_path: Path) -> None:
    outcome = _run(tmp_path, method=method, tolerance=1e-6)
    for record in outcome.rounds:
        assert record.contribution and record.contribution.evaluations == 8
        assert sum(record.contribution.values.values()) == pytest.approx(0.1 * sum(STEPS.values()) / 3, abs=1e-3)


def test_agreement_needs_no_score_and_only_the_named_rounds_are_looked_at(tmp_path: Path) -> None:
    outcome = _run(tmp_path, method="agreement", every=2)
    first, second = (record.contribution for record in outcome.rounds)
    assert first and first.values == pytest.approx({"a": 1.0, "b": 1.0, "c": -1.0}) and first.evaluations == 0
    assert second is None


def test_a_single_evaluator_scores_for_all(tmp_path: Path) -> None:
    asked: list[str] = []

    def watching(task: str) -> list[Shareable]:
        asked.append(task)
        return _site(1.0)(task)

    _run(tmp_path, {"a": watching}, method="leave_one_out", evaluators=["b"])
    assert asked.count(TASK_VALIDATE) == 2, "the last model and the test"


def test_an_evaluator_that_is_not_in_the_run_fails_it_before_anybody_trains(tmp_path: Path) -> None:
    outcome = _run(tmp_path, evaluators=["elsewhere"])
    assert outcome.status == "failed" and "elsewhere is not in this run" in str(outcome.reason) and not outcome.rounds


def test_scores_of_changing_sites_are_no_comparison(tmp_path: Path) -> None:
    asked: list[str] = []

    def leaving(task: str) -> list[Shareable]:
        asked.append(task)
        gone = asked.count(TASK_VALIDATE) > 2
        return [error_reply("no memory")] if task == TASK_VALIDATE and gone else _site(1.0)(task)

    outcome = _run(tmp_path, {"a": leaving}, method="leave_one_out")
    assert outcome.status == "finished" and outcome.rounds[0].contribution is None
    assert outcome.rounds[0].contribution_bytes_down >= 3 * 3 * 36, "what was sent for it is counted all the same"
    assert [record.unscored.missing for record in outcome.rounds] == [{"a": "no memory"}] * 2
    audited = [event for _, event in AuditLog(tmp_path / "state").read() if event.task == "contribution"]
    said = [(event.site, event.outcome, event.round, event.reason) for event in audited]
    assert said == [("a", "missing", index, "no memory") for index in (0, 1)]
