"""A run that begins with an earlier run's last model: which runs may be named, and what the outcome says of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.shareable import Shareable

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, TASK_VALIDATE, result_reply
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE, START_MODEL_FILE
from fedvoxel.flare.start_model import load_start
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA
from fedvoxel.records.canonical import sha256_of_file
from tests.flare.test_controller import META, MODEL, TEST_SCORE, released, run_sites, update, well_behaved
from tests.private_section import PRIVACY

SITES = ("hospital-a", "hospital-b")


def public(task: str) -> list[Shareable]:
    """Behaves as a site whose filter says that its cohort is declared public."""
    said = {
        TASK_TRAIN: update(meta={"public": True}),
        TASK_VALIDATE: result_reply({**TEST_SCORE, "public": True}, {}, difference=False),
    }
    return [said[task]] if task in said else well_behaved(task)


def earlier_run(folder: Path, answer: Callable[[str], list[Shareable]] = well_behaved) -> RunOutcome:
    """Runs two rounds, from 0 to 1, and keeps what the server holds of them under another run key."""
    outcome = run_sites(folder, dict.fromkeys(SITES, answer))
    (folder / "state/runs/a_run").rename(folder / "state/runs/earlier")
    return outcome


def started(folder: Path, name: str = "earlier", **changes: Any) -> RunOutcome:
    """Runs two rounds from there; the outcome says whether it could."""
    asked: list[str] = []

    def answer(task: str) -> list[Shareable]:
        asked.append(task)
        return released(task) if "privacy" in changes else well_behaved(task)

    outcome = run_sites(folder, dict.fromkeys(SITES, answer), start_from=name, **changes)
    assert TASK_INITIALIZE not in asked
    assert outcome.status == "finished" or asked == [], "no site is asked where there is nothing to begin with"
    return outcome


def test_a_run_begins_with_the_last_model_of_the_earlier_one(tmp_path: Path) -> None:
    earlier = earlier_run(tmp_path)
    outcome = started(tmp_path)
    model = np.load(tmp_path / "job-1" / GLOBAL_MODEL_FILE)
    assert outcome.status == "finished" and np.array_equal(model["bias"], np.full(3, 2.0, np.float32))
    assert outcome.start_from and earlier.model
    assert (outcome.start_from.run_key, outcome.start_from.sha256) == ("earlier", earlier.model.sha256)
    assert outcome.start_from.privacy == NO_GUARANTEE == earlier.privacy
    assert sha256_of_file(tmp_path / "job-1" / START_MODEL_FILE) == earlier.model.sha256, "an audit needs it"


def without_outcome(folder: Path) -> None:
    (folder / OUTCOME_FILE).unlink()


def damaged_outcome(folder: Path) -> None:
    (folder / OUTCOME_FILE).write_text("{")


def without_model(folder: Path) -> None:
    (folder / GLOBAL_MODEL_FILE).unlink()


def damaged_model(folder: Path) -> None:
    path = folder / GLOBAL_MODEL_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def failed(folder: Path) -> None:
    path = folder / OUTCOME_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed", "reason": "too few sites"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_outcome, "no run earlier has ended on this server"),
        (damaged_outcome, "outcome of run earlier is damaged"),
        (without_model, "is missing, or not the one"),
        (damaged_model, "is missing, or not the one"),
        (failed, "has not ended well here (failed)"),
    ],
)
def test_a_run_that_left_no_sound_model_is_refused_at_once(
    spoil: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    earlier_run(tmp_path)
    spoil(tmp_path / "state/runs/earlier")
    outcome = started(tmp_path)
    assert outcome.status == "failed" and reason in str(outcome.reason) and str(tmp_path) not in str(outcome.reason)


@pytest.mark.parametrize(("name", "reason"), [("a_run", "itself"), ("../a", "run_key"), ("never", "no run never")])
def test_a_name_that_names_no_earlier_run_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    earlier_run(tmp_path)
    outcome = started(tmp_path, name)
    assert outcome.status == "failed" and reason in str(outcome.reason)


def test_a_start_without_a_guarantee_takes_the_claim_away_and_a_public_one_does_not(tmp_path: Path) -> None:
    for answer, claimed in ((well_behaved, False), (public, True)):
        folder = tmp_path / str(claimed)
        folder.mkdir()
        earlier_run(folder, answer)
        outcome = started(folder, privacy=PRIVACY, evaluate=False)
        assert (outcome.guarantee is not None) == claimed
        assert outcome.privacy.startswith(NO_GUARANTEE) != claimed


def test_a_run_says_what_it_and_the_run_that_it_began_with_cost_together(tmp_path: Path) -> None:
    def private(folder: Path, **changes: Any) -> RunOutcome:
        return run_sites(folder, dict.fromkeys(SITES, released), privacy=PRIVACY, evaluate=False, **changes)

    earlier = private(tmp_path)
    (tmp_path / "state/runs/a_run").rename(tmp_path / "state/runs/earlier")
    outcome = private(tmp_path, start_from="earlier")
    assert earlier.guarantee and outcome.guarantee and outcome.start_from
    assert outcome.start_from.guarantee == earlier.guarantee
    assert outcome.guarantee.epsilon == 2 * earlier.guarantee.epsilon
    promised = {"unit": "patient", "epsilon": 1.5 * earlier.guarantee.epsilon, "delta": 0.5}
    refused = private(tmp_path, start_from="earlier", meta={"promises": promised})
    assert refused.status == "failed" and "promises" in str(refused.reason)


def test_an_outcome_of_old_that_counts_itself_alone_gives_no_guarantee(tmp_path: Path) -> None:
    earlier = run_sites(tmp_path, dict.fromkeys(SITES, released), privacy=PRIVACY, evaluate=False)
    folder = tmp_path / "state/runs/a_run"
    begun = {"run_key": "before", "sha256": "0" * 64, "privacy": earlier.privacy}
    values = json.loads((folder / OUTCOME_FILE).read_text()) | {"start_from": begun}
    (folder / OUTCOME_FILE).write_text(json.dumps(values))
    assert load_start(folder.parent, "a_run").record.guarantee is None


def test_a_run_on_public_cases_only_says_so(tmp_path: Path) -> None:
    assert earlier_run(tmp_path, public).privacy == PUBLIC_DATA
    assert load_outcome(tmp_path / "job-1" / OUTCOME_FILE).guarantee is None


@pytest.mark.parametrize(
    "answer",
    [
        update(),
        update(meta={"public": "yes"}),
        update(meta={"public": 1}),
        result_reply({"case_count": 0, "validation": META["validation"]}, {}, difference=True),
    ],
    ids=["says nothing", "says it in words", "says it as a number", "only evaluates, on its own cases"],
)
def test_one_reply_that_is_not_declared_public_takes_the_word_away(answer: Shareable, tmp_path: Path) -> None:
    def other(task: str) -> list[Shareable]:
        return [answer] if task == TASK_TRAIN else public(task)

    sites = dict.fromkeys(SITES, public) | {"hospital-c": other}
    assert run_sites(tmp_path, sites).privacy == NO_GUARANTEE


@pytest.mark.parametrize("said", [{}, {"public": "yes"}, {"public": 1}])
def test_a_score_of_cases_that_are_not_declared_public_takes_the_word_away(said: Any, tmp_path: Path) -> None:
    def other(task: str) -> list[Shareable]:
        elsewhere = result_reply({**TEST_SCORE, **said}, {}, difference=False)
        return [elsewhere] if task == TASK_VALIDATE else public(task)

    sites = dict.fromkeys(SITES, public) | {"hospital-c": other}
    assert run_sites(tmp_path, sites).privacy == NO_GUARANTEE


def test_a_public_run_that_began_with_a_private_one_is_not_public(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    outcome = run_sites(tmp_path, dict.fromkeys(SITES, public), start_from="earlier")
    assert outcome.status == "finished" and outcome.privacy == NO_GUARANTEE


def test_a_model_of_another_layout_is_refused_by_the_sites_checks_alone(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    fewer = {"bias": MODEL["bias"]}

    def other(task: str) -> list[Shareable]:
        return [result_reply(META, fewer, difference=True)] if task == TASK_TRAIN else well_behaved(task)

    outcome = run_sites(tmp_path, dict.fromkeys(SITES, other), start_from="earlier")
    assert outcome.status == "failed" and "wrong keys" in str(outcome.reason)
