"""A simulated run is the run: the same commands that a site's trainer process gets over FLARE give the same model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError, ConfigError, UpdateError
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases
from fedvoxel.evaluation.simulation import Simulation, simulate
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.reply_values import read_validation
from fedvoxel.federation.rounds import Rounds, RoundsConfig
from fedvoxel.federation.traffic import PIECE_HEAD_BYTES, EncodedSizes, traffic_of
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.updates.update import Update, layout_of
from fedvoxel.volumes.site import ComputeConfig
from tests.private_section import PRIVACY
from tests.training.conftest import training_section, write_site

COMPUTE = ComputeConfig(threads=1, device="cpu")
AFFINE = {"channels": [4, 8], "strides": [2], "num_res_units": 0, "norm": ["instance", {"affine": True}]}
CASES = {"hospital-a": 14, "hospital-b": 9}

JOBS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fedavg": ({}, {}),
    "fedavgm": ({"average_decay": 0.5}, {"server_optimizer": {"name": "momentum", "beta": 0.5}}),
    "fedprox": ({"proximal_mu": 0.1}, {}),
    "scaffold": ({}, {"correction": {"name": "scaffold"}}),
    "feddyn": ({}, {"correction": {"name": "feddyn", "alpha": 0.1}}),
    "fedbn": ({"network": {"name": "UNet", "arguments": AFFINE}, "site_local": ("*.adn.N.*",)}, {}),
    "ditto": ({"personal": {"name": "ditto", "strength": 0.1}}, {}),
    "fine_tuned": ({"personal": {"name": "fine_tuned", "steps": 4}}, {}),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for site, cases in CASES.items():
        (tmp_path / site).mkdir()
        found[site] = write_site(tmp_path / site, cases)
    return found


def _task(**training: Any) -> TrainingTask:
    arguments = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section(**training)}
    return parse_config(TrainingTask, arguments, "the test's task")


def _simulated(files: dict[str, Path], task: TrainingTask, config: RoundsConfig) -> Simulation:
    return simulate(task, config, {site: load_site_cases(file, task) for site, file in files.items()}, COMPUTE)


def _over_the_executors_path(files: dict[str, Path], task: TrainingTask, config: RoundsConfig) -> dict[str, Any]:
    """Runs the rounds with the messages that `SiteExecutor` sends to the trainer, as the controller would."""
    sites = {
        site: SiteTrainer(TrainerSetup(task=task, site=site, site_file=str(file), state_folder=str(file.parent)))
        for site, file in files.items()
    }

    def ask(site: str, header: dict[str, Any], arrays: Any) -> Message:
        return sites[site].answer(Message(header, arrays), lambda *_: None)

    rounds = Rounds(config, ask("hospital-a", {"command": "initialize"}, {}).arrays)
    while not rounds.finished:
        rule = config.correction and config.correction.model_dump(mode="json")
        for site in files:
            header: dict[str, Any] = {"command": "train", "keep_as": str(files[site].parent / "own.npz")}
            header |= {"round": rounds.round, "num_rounds": config.num_rounds, "validate": rounds.round > 0}
            header |= {"correction": rule, "accepted": rounds.last_accepted.get(site)}
            reply = ask(site, header, rounds.outgoing)
            if "validation" in reply.header:
                rounds.add_validation(site, read_validation(rounds.config, reply.header["validation"]))
            rounds.add(site, Update(reply.arrays, reply.header["case_count"]))
        rounds.close_round()
    for site in files:
        scores = ask(site, {"command": "evaluate", "split": "validation"}, rounds.model).header["scores"]
        dice = float(np.mean([row["dice"]["blob"] for row in scores]))
        rounds.add_validation(site, ValidationScore(cases=len(scores), dice={"blob": dice}))
    rounds.score_model()
    model = rounds.best_model or rounds.model
    tested = {site: ask(site, {"command": "evaluate", "split": "test"}, model).header for site in files}
    return {"model": model, "validation": rounds.validation, "tested": tested}


@pytest.mark.parametrize("job", JOBS)
def test_a_simulation_gives_the_model_and_scores_of_the_executors_path(files: dict[str, Path], job: str) -> None:
    training, rounds = JOBS[job]
    task, config = _task(**training), RoundsConfig(num_rounds=3, **rounds)
    real = _over_the_executors_path(files, task, config)
    got = _simulated(files, task, config)
    assert all(np.array_equal(got.model[name], array) for name, array in real["model"].items())
    for site, told in real["tested"].items():
        assert [dict(score.dice) for score in got.test[site]] == [row["dice"] for row in told["scores"]]
        if job in ("ditto", "fine_tuned"):
            assert [dict(one.dice) for one in got.personal[site]] == [row["dice"] for row in told["personal_scores"]]
    for record, scores in zip(got.rounds, real["validation"], strict=True):
        for site, score in scores.items():
            assert record.validation[site].cases == score.cases
            assert record.validation[site].dice["blob"] == pytest.approx(score.dice["blob"], abs=1e-12)


def test_the_records_count_cases_and_bytes_of_arrays(files: dict[str, Path]) -> None:
    task = _task()
    cases = {site: load_site_cases(file, task) for site, file in files.items()}
    got = simulate(task, RoundsConfig(num_rounds=2), cases, COMPUTE)
    size = sum(array.nbytes for array in got.model.values())
    for record in got.rounds:
        assert record.contributed == {site: len(found.training) for site, found in cases.items()}
        assert (record.bytes_up, record.bytes_down) == (2 * size, 2 * size)
    twice = simulate(task, RoundsConfig(num_rounds=2, correction={"name": "scaffold"}), cases, COMPUTE)
    assert twice.rounds[0].bytes_up == twice.rounds[0].bytes_down == 4 * size


def test_a_site_may_send_something_else_and_rounds_say_what_it_was_worth(files: dict[str, Path]) -> None:
    task, asked = _task(), {"method": "leave_one_out", "evaluators": ["hospital-a"]}
    cases = {site: load_site_cases(file, task) for site, file in files.items()}

    def nothing(update: Update, rounds: Rounds) -> Update:
        return Update(
            {name: np.zeros_like(array) for name, array in update.arrays.items()}, update.case_count, update.metrics
        )

    config = RoundsConfig(num_rounds=2, contribution=asked)
    got = simulate(task, config, cases, COMPUTE, sends={"hospital-b": nothing})
    for record in got.rounds:
        assert record.contribution and record.contribution.evaluations == 3 and record.contribution.resemblance
        assert (
            record.contribution.resemblance.norms["hospital-b"]
            == 0
            < record.contribution.resemblance.norms["hospital-a"]
        )
    silent = {**asked, "evaluators": ["hospital-x"]}
    with pytest.raises(ConfigError, match="hospital-x is not in this run"):
        simulate(task, RoundsConfig(num_rounds=1, contribution=silent), cases, COMPUTE)


def test_a_site_without_training_cases_only_evaluates(files: dict[str, Path]) -> None:
    task = _task()
    cases = {site: load_site_cases(file, task) for site, file in files.items()}
    cases["hospital-z"] = SiteCases((), cases["hospital-a"].test)
    told: list[tuple[int, int, float | None]] = []
    got = simulate(task, RoundsConfig(num_rounds=2), cases, COMPUTE, lambda *said: told.append(said))
    assert [record.evaluation_only for record in got.rounds] == [("hospital-z",), ("hospital-z",)]
    assert got.test["hospital-z"] == got.test["hospital-a"]
    assert [said[:2] for said in told] == [(1, 2), (2, 2)]


def test_what_cannot_be_simulated_is_refused(files: dict[str, Path]) -> None:
    task = _task()
    cases = {site: load_site_cases(file, task) for site, file in files.items()}
    with pytest.raises(CohortError, match="no site has a training case"):
        simulate(task, RoundsConfig(num_rounds=1), {"hospital-a": SiteCases((), ())}, COMPUTE)
    with pytest.raises(UpdateError, match="1 of the 2 sites"):
        simulate(task, RoundsConfig(num_rounds=1), {"hospital-a": cases["hospital-a"]}, COMPUTE)
    with pytest.raises(ConfigError, match="sends: expected sites of the run"):
        simulate(task, RoundsConfig(num_rounds=1), cases, COMPUTE, sends={"hospital-x": lambda update, _: update})
    protected = parse_config(TrainingTask, task.model_dump(mode="json") | {"privacy": PRIVACY}, "the test's task")
    with pytest.raises(ConfigError, match="protects nobody"):
        simulate(protected, RoundsConfig(num_rounds=1), cases, COMPUTE)


def test_a_secure_sum_gives_nearly_the_model_of_the_plain_mean(files: dict[str, Path], tmp_path: Path) -> None:
    task, section = _task(), {"num_rounds": 2, "min_sites": 3, "max_cases_per_site": 100}
    (tmp_path / "hospital-c").mkdir()
    files = files | {"hospital-c": write_site(tmp_path / "hospital-c", 8)}
    plain = _simulated(files, task, parse_config(RoundsConfig, section, "rounds"))
    section |= {"secure_aggregation": {"bits": 16}}
    secure = parse_config(RoundsConfig, section, "rounds")
    masked = _simulated(files, task, secure)
    start = _simulated(files, task, RoundsConfig(num_rounds=1)).model
    # Adam turns a rounding of 1e-8 into as much as 1e-3 where a gradient is next to nothing: how much depends on the
    # processor, so the distance of the models is held against how far they went.
    moved, apart = (sum(np.sum((plain.model[n] - m[n]) ** 2) for n in plain.model) for m in (start, masked.model))
    assert 0 < apart < 3e-5 * moved, "with 12 bits in place of 16 it is 7e-5"
    size = sum(array.size for array in plain.model.values())
    assert [record.bytes_up for record in masked.rounds] == [3 * (21 + 4 * size), 3 * (21 + 2 * size)]
    assert [record.codecs["up"] for record in masked.rounds] == ["masked, 32 bits", "masked, 16 bits"]
    planned = traffic_of(layout_of(plain.model), secure, EncodedSizes(), len(files))
    for record, update in zip(masked.rounds, (planned.first_update, planned.update), strict=True):
        # The head of the one piece is the plan's only.
        assert 3 * update.size_bytes == record.bytes_up + 3 * PIECE_HEAD_BYTES


def test_a_guard_that_steps_back_is_in_the_records(files: dict[str, Path]) -> None:
    task = _task()

    def worse(update: Update, rounds: Rounds) -> Update:
        """A first round as it should be, and then noise, which sinks the score."""
        random = np.random.default_rng(rounds.round)
        noise = {name: random.normal(0, 1, array.shape).astype(np.float32) for name, array in update.arrays.items()}
        return replace(update, arrays=noise) if rounds.round else update

    cases = {site: load_site_cases(file, task) for site, file in files.items()}
    compression = {"up": {"name": "int8"}, "down": {"name": "int8"}, "guard_dice": 0.01}
    config = parse_config(RoundsConfig, {"num_rounds": 7, "compression": compression}, "rounds")
    got = simulate(task, config, cases, COMPUTE, sends=dict.fromkeys(files, worse))
    # The scores of the models of rounds 1 and 2 are known when round 3 is closed; those of 3 and 4 with round 5.
    both = [{"up": name, "down": name} for name in ["int8"] * 4 + ["fp16"] * 2]
    assert [record.codecs for record in got.rounds] == [*both, {}]
    size = 2 * sum(array.nbytes for array in got.model.values())
    assert got.rounds[3].bytes_up < 0.4 * size < got.rounds[4].bytes_up < 0.7 * size
    assert got.rounds[6].bytes_up == got.rounds[6].bytes_down == size
