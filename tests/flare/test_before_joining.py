"""The models that a server keeps from before sites joined: which, also after a crash; runs that begin with one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.federation.kept_models import BEFORE_JOINING, KeptModel, KeptModels
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome
from fedvoxel.flare.messages import TASK_TRAIN
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_journal import RunJournal
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.records.canonical import sha256_of
from fedvoxel.updates.weights_file import from_bytes
from tests.flare.test_controller import FakeSites, panics_of, released, run_sites, well_behaved
from tests.late_sites import joining, looking_on, never
from tests.private_section import PRIVACY

A, B, C, D = "hospital-a", "hospital-b", "hospital-c", "hospital-d"
LATE = {A: well_behaved, B: well_behaved, C: joining(2)}


def kept(folder: Path, committed: int = 4, run_key: str = "a_run") -> list[tuple[int, tuple[str, ...], float]]:
    """Returns of each kept model its round, who joined, and a value of it, which grows by 0.5 a round."""
    models = KeptModels(folder / "state/runs" / run_key)
    return [
        (one.round, one.joined, float(from_bytes(models.content(one))["bias"][0])) for one in models.read(committed)
    ]


def run(folder: Path, answers: Any = None, **changes: Any) -> RunOutcome:
    return run_sites(folder, dict(answers or {**LATE, C: joining(2)}), **{"num_rounds": 4} | changes)


def again(folder: Path, site: str = C, **changes: Any) -> RunOutcome:
    """Runs a job that begins with the model from before a site joined, without that site."""
    start = {"run_key": "a_run", "before_site": site}
    said = {"start_from": start, "run_key": "again", "job_id": "job-2"}
    return run_sites(folder, {A: well_behaved, B: well_behaved}, **said | changes)


def test_a_model_is_kept_from_before_each_round_in_which_a_site_joins(tmp_path: Path) -> None:
    outcome = run(tmp_path, {A: well_behaved, B: well_behaved, C: joining(2), D: joining(3)})
    assert kept(tmp_path) == [(0, (A, B), 0.0), (2, (C,), 1.0), (3, (D,), 1.5)]
    assert [one.before for one in KeptModels(tmp_path / "state/runs/a_run").read(4)] == [(), (A, B), (A, B, C)]
    assert outcome.first_model_from == A
    folder = tmp_path / "state/runs/a_run" / BEFORE_JOINING
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_who_scores_models_joins_and_who_was_never_taken_does_not(tmp_path: Path) -> None:
    run(tmp_path, {A: well_behaved, B: well_behaved, C: looking_on, D: never})
    assert kept(tmp_path) == [(0, (A, B, C), 0.0)]


class Dying(FakeSites):
    """Has the server's process die when a task of a round is sent."""

    at = 0

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        if (task.name, FLModelUtils.from_shareable(task.data).current_round) == (TASK_TRAIN, self.at):
            raise Killed
        super().broadcast(task, fl_ctx, targets, *rest)


class Killed(BaseException):
    """Ends the job's process."""


@pytest.mark.parametrize("dies_in", [1, 2, 3])
def test_a_run_that_goes_on_after_a_crash_keeps_the_same(
    dies_in: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole")
    monkeypatch.setattr(Dying, "at", dies_in)
    late, folder = {**LATE, C: joining(2)}, tmp_path / "died"
    folder.mkdir()
    with pytest.raises(Killed):
        panics_of(folder, late, Dying, num_rounds=4)
    outcome = run(folder, late, job_id="job-2")
    assert outcome.status == "finished" and len(outcome.attempts) == 2
    assert kept(folder) == kept(tmp_path / "whole") == [(0, (A, B), 0.0), (2, (C,), 1.0)]
    files = [
        sorted(path.read_bytes() for path in (each / "state/runs/a_run" / BEFORE_JOINING).iterdir())
        for each in (folder, tmp_path / "whole")
    ]
    assert files[0] == files[1] and outcome.first_model_from == A


def test_what_is_kept_of_a_round_that_was_not_committed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = RunJournal.commit

    def dies_in_round_2(self: RunJournal, state: Any, outcome: Any) -> None:
        if state.rounds.round == 3:
            raise Killed
        commit(self, state, outcome)

    monkeypatch.setattr(RunJournal, "commit", dies_in_round_2)
    with pytest.raises(Killed):
        run(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "state/runs/a_run" / BEFORE_JOINING / "round-0002.npz").is_file(), "it was written before"
    assert kept(tmp_path, committed=2) == [(0, (A, B), 0.0)]
    outcome = run(tmp_path, {A: well_behaved, B: well_behaved, C: joining(1)}, job_id="job-2")
    assert [sorted(one.contributed) for one in outcome.rounds] == [[A, B], [A, B], [A, B], [A, B, C]]
    assert kept(tmp_path) == [(0, (A, B), 0.0), (3, (C,), 1.5)], "in the round that counted it came later"


def test_another_run_under_the_same_key_keeps_its_own_only(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, {A: well_behaved, B: well_behaved}, num_rounds=3, job_id="job-2")
    assert kept(tmp_path) == [(0, (A, B), 0.0)]


def test_a_run_begins_again_with_the_model_from_before_a_site_joined(tmp_path: Path) -> None:
    run(tmp_path)
    outcome = again(tmp_path)
    record = KeptModels(tmp_path / "state/runs/a_run").read(4)[-1]
    assert outcome.status == "finished" and outcome.start_from
    assert (outcome.start_from.run_key, outcome.start_from.before_round) == ("a_run", 2)
    assert outcome.start_from.sha256 == record.sha256 and outcome.first_model_from is None
    model = np.load(tmp_path / "job-2/global_model.npz")
    assert np.array_equal(model["bias"], np.full(3, 2.0, np.float32)), "two rounds of two sites, on two of before"
    assert all(C not in one.contributed for one in outcome.rounds)
    said = {channel.name: channel.why for channel in outcome.channels}["start model"]
    assert said.startswith("the model of run a_run from before round 2, ")


def test_the_site_itself_cannot_take_part(tmp_path: Path) -> None:
    run(tmp_path)
    start = {"run_key": "a_run", "before_site": C}
    outcome = run_sites(tmp_path, {**LATE, C: well_behaved}, start_from=start, run_key="again", job_id="job-2")
    assert outcome.status == "failed" and "hospital-c takes part in this job" in str(outcome.reason)


def without_model(folder: Path) -> None:
    (folder / BEFORE_JOINING / "round-0002.npz").unlink()


def another_model(folder: Path) -> None:
    """Puts a model of a later round in its place."""
    (folder / BEFORE_JOINING / "round-0002.npz").write_bytes((folder / "global_model.npz").read_bytes())


def without_record(folder: Path) -> None:
    (folder / BEFORE_JOINING / "round-0002.json").unlink()


def of_another_round(folder: Path) -> None:
    for end in ("npz", "json"):
        (folder / BEFORE_JOINING / f"round-0002.{end}").rename(folder / BEFORE_JOINING / f"round-0003.{end}")


def renumbered(folder: Path) -> None:
    of_another_round(folder)
    change_record(folder, 3, round=3)


def change_record(folder: Path, index: int, **changes: Any) -> None:
    path = folder / BEFORE_JOINING / f"round-{index:04d}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def unfinished(folder: Path) -> None:
    path = folder / OUTCOME_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "unfinished"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_model, "is missing, or not the one that its record names"),
        (another_model, "is missing, or not the one that its record names"),
        (without_record, "no model that is known to be from before hospital-c joined"),
        (of_another_round, "is of round 2"),
        (renumbered, "no model that is known to be from before hospital-c joined"),
        (unfinished, "has not ended"),
    ],
)
def test_what_is_not_known_to_be_from_before_is_refused(spoil: Any, reason: str, tmp_path: Path) -> None:
    run(tmp_path)
    spoil(tmp_path / "state/runs/a_run")
    outcome = again(tmp_path)
    assert outcome.status == "failed" and reason in str(outcome.reason) and str(tmp_path) not in str(outcome.reason)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ({"run_key": "again", "before_site": C}, "itself"),
        ({"run_key": "never", "before_site": C}, "no run never"),
        ({"run_key": "../a", "before_site": C}, "start_from"),
        ({"run_key": "a_run", "before_site": D}, "no model that is known to be from before hospital-d"),
        ({"run_key": "a_run"}, "before_site"),
        ({"run_key": "a_run", "before_site": C, "round": 1}, "round"),
        ([C], "start_from"),
    ],
)
def test_a_start_that_names_no_such_model_is_refused(start: Any, reason: str, tmp_path: Path) -> None:
    run(tmp_path)
    outcome = again(tmp_path, start_from=start)
    assert outcome.status == "failed" and reason in str(outcome.reason)


def test_the_model_that_the_site_itself_has_given_excludes_it_nowhere(tmp_path: Path) -> None:
    outcome = run(tmp_path, {A: well_behaved, B: well_behaved, C: well_behaved})
    assert outcome.first_model_from == A
    again_without_a = {"start_from": {"run_key": "a_run", "before_site": A}, "run_key": "again", "job_id": "job-2"}
    outcome = run_sites(tmp_path, {B: well_behaved, C: well_behaved}, **again_without_a)
    assert "no model that is known to be from before hospital-a joined" in str(outcome.reason)


def test_a_run_that_began_with_a_model_of_the_site_has_none_from_before_it(tmp_path: Path) -> None:
    run(tmp_path)
    second = {A: well_behaved, B: well_behaved, C: joining(1)}
    assert run(tmp_path, second, start_from="a_run", run_key="second", job_id="job-2").status == "finished"
    third = {"run_key": "second", "before_site": C}
    outcome = again(tmp_path, start_from=third, job_id="job-3")
    assert "itself began with a model that holds something of hospital-c" in str(outcome.reason)


def test_a_run_that_was_aborted_can_be_begun_again_from_before(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "state/runs/a_run" / OUTCOME_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "aborted", "reason": "by a person"}))
    assert again(tmp_path).status == "finished"


@pytest.mark.parametrize("before", [None, 2])
def test_a_job_that_begins_with_a_last_model_is_the_same_job_as_in_the_release_before(
    before: int | None, tmp_path: Path
) -> None:
    """Whose records did not have `before_round`: a journal that it has begun is gone on with."""
    run(tmp_path)
    start = {"run_key": "a_run", "before_site": C} if before else "a_run"
    record = again(tmp_path, start_from=start).start_from
    assert record and record.before_round == before
    begun = {"run_key": "a_run", "sha256": record.sha256, "privacy": record.privacy, "guarantee": None}
    words = {"rounds": {"num_rounds": 2, "min_sites": 2, "round_timeout_s": 2}, "privacy": None}
    words |= {"plan_source": "fixed", "choices": "public"}
    words["start"] = begun | ({"before_round": before} if before else {})
    journal = RoundJournal(tmp_path / "state/runs/again/journal").read()
    assert journal and journal.job == sha256_of({"words": words, "files": {}})


def test_what_the_earlier_run_has_cost_is_counted_in(tmp_path: Path) -> None:
    asked = iter(range(100))

    def late_and_private(task: str) -> Any:
        return released(task) if task != TASK_TRAIN or next(asked) else never("validate")

    sites = {A: released, B: released, C: late_and_private}
    said = {"privacy": PRIVACY, "evaluate": False}
    earlier = run_sites(tmp_path, sites, **said)
    assert earlier.guarantee and kept(tmp_path, 2)[-1][:2] == (1, (C,))
    start = {"run_key": "a_run", "before_site": C}
    both = {"start_from": start, "run_key": "again", "job_id": "job-2"}
    outcome = run_sites(tmp_path, {A: released, B: released}, **both, **said)
    assert outcome.start_from and outcome.start_from.guarantee == earlier.guarantee, "of all rounds, so at least that"
    assert outcome.guarantee and outcome.guarantee.epsilon == 2 * earlier.guarantee.epsilon
    assert "the model of run a_run from before round 1" in outcome.guarantee.composition
    plain = run_sites(tmp_path, {A: well_behaved, B: well_behaved}, **both | {"run_key": "plain", "job_id": "job-3"})
    assert plain.privacy == NO_GUARANTEE


def test_a_record_in_which_a_site_joins_twice_is_none() -> None:
    values = {"run_key": "a_run", "round": 1, "joined": (A,), "before": (A,), "sha256": "0" * 64}
    with pytest.raises(ValueError, match="cannot join after having joined"):
        KeptModel.model_validate(values)
