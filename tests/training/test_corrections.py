"""SCAFFOLD, FedDyn, FedBN, Ditto, fine-tuning: the papers' equations worked out apart for two unequal sites."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import load_site_config

from .conftest import make_setup, write_site

Weights = dict[str, np.ndarray]
RATE, STEPS = 0.05, 3
WHO = (("a", "b"), ("a",), ("b",), ("a", "b"))
"""Who takes part in each round: control variates must survive a round without their site."""
PLAIN: dict[str, Any] = {
    "augmentation": {},
    "batch_size": 64,
    "optimizer": {"name": "SGD", "learning_rate": RATE},
    "schedule": {"name": "constant"},
}
AFFINE = {"channels": [4, 8], "strides": [2], "num_res_units": 0, "norm": ["instance", {"affine": True}]}
NORMS = ("*.adn.N.*",)


def _make(folder: Path, cases: int, **training: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    file = write_site(folder, cases)
    task = make_setup(file, **(PLAIN | {"epochs_per_round": STEPS} | training)).task
    loaded = load_cases(load_site_config(file), task.cohort, task.classes, task.plan, "training", folder)[0]
    return Trainer(task.training, ("blob",), loaded, folder.name, "cpu", SiteState(folder, "blobs"))


@pytest.fixture
def sites(tmp_path: Path) -> Callable[..., dict[str, Trainer]]:
    def make(**training: Any) -> dict[str, Trainer]:
        return {name: _make(tmp_path / name, cases, **training) for name, cases in (("a", 12), ("b", 6))}

    return make


@pytest.fixture
def gradients(tmp_path: Path) -> dict[str, Callable[[Weights], Weights]]:
    """Gives grad F_k(w) of each site at any w, from a single plain step of an unchanged trainer."""

    def of(trainer: Trainer) -> Callable[[Weights], Weights]:
        def gradient(w: Weights) -> Weights:
            moved = trainer.train_round({n: v.astype(np.float32) for n, v in w.items()}, 0, 1).arrays
            return {name: -change.astype(np.float64) / RATE for name, change in moved.items()}

        return gradient

    made = {name: _make(tmp_path / f"plain_{name}", cases, epochs_per_round=1) for name, cases in (("a", 12), ("b", 6))}
    return {name: of(trainer) for name, trainer in made.items()}


def _run(trainers: dict[str, Trainer], correction: dict[str, Any]) -> Rounds:
    first = trainers["a"].weights()
    rounds = Rounds(RoundsConfig(num_rounds=len(WHO), min_sites=1, correction=correction), first)
    for index, who in enumerate(WHO):
        for name in who:
            rule, accepted = rounds.config.correction, rounds.last_accepted.get(name)
            update = trainers[name].train_round(rounds.outgoing, index, len(WHO), None, rule, accepted)
            rounds.add(name, update)
        rounds.close_round()
    return rounds


def _same(got: Weights, expected: Weights) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-3, atol=2e-5, err_msg=name)


def _shares(trainers: dict[str, Trainer], who: tuple[str, ...]) -> dict[str, float]:
    cases = {name: trainers[name].case_count for name in who}
    return {name: count / sum(cases.values()) for name, count in cases.items()}


def _zeros(like: Weights) -> Weights:
    return {name: np.zeros(value.shape) for name, value in like.items()}


def test_scaffold_is_the_papers_algorithm_1_with_option_2(sites, gradients) -> None:
    trainers = sites()
    x: Weights = {name: value.astype(np.float64) for name, value in trainers["a"].weights().items()}
    p = _shares(trainers, ("a", "b"))
    c, own = _zeros(x), {name: _zeros(x) for name in trainers}
    for who in WHO:
        ends, following = {}, {}
        for k in who:
            y = dict(x)
            for _ in range(STEPS):
                g = gradients[k](y)
                y = {n: y[n] - RATE * (g[n] - own[k][n] + c[n]) for n in y}
            ends[k] = y
            following[k] = {n: own[k][n] - c[n] + (x[n] - y[n]) / (STEPS * RATE) for n in x}
        share = _shares(trainers, who)
        x = {n: sum(share[k] * ends[k][n] for k in who) for n in x}
        c = {n: c[n] + sum(p[k] * (following[k][n] - own[k][n]) for k in who) for n in x}
        own |= following
    plain = _run(sites(), {"name": "scaffold"})
    _same(plain.model, x)
    _same({n: plain.outgoing[f"control:{n}"] for n in x}, c)


def test_feddyn_is_the_papers_algorithm_1(sites, gradients) -> None:
    alpha = 0.3
    trainers = sites()
    x: Weights = {name: value.astype(np.float64) for name, value in trainers["a"].weights().items()}
    p = _shares(trainers, ("a", "b"))
    h, own = _zeros(x), {name: _zeros(x) for name in trainers}
    for who in WHO:
        ends = {}
        for k in who:
            w = dict(x)
            for _ in range(STEPS):
                g = gradients[k](w)
                w = {n: w[n] - RATE * (g[n] - own[k][n] + alpha * (w[n] - x[n])) for n in w}
            own[k] = {n: own[k][n] - alpha * (w[n] - x[n]) for n in w}
            ends[k] = w
        share = _shares(trainers, who)
        h = {n: h[n] - alpha * sum(p[k] * (ends[k][n] - x[n]) for k in who) for n in x}
        x = {n: sum(share[k] * ends[k][n] for k in who) - h[n] / alpha for n in x}
    _same(_run(sites(), {"name": "feddyn", "alpha": alpha}).model, x)


def test_the_rules_change_the_model(sites) -> None:
    models = [
        _run(sites(), correction).model for correction in (None, {"name": "scaffold"}, {"name": "feddyn", "alpha": 0.3})
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert max(np.abs(models[one][name] - models[other][name]).max() for name in models[0]) > 1e-3


def test_a_control_variate_of_a_refused_update_is_dropped(sites) -> None:
    trainer = sites()["a"]
    rounds = Rounds(RoundsConfig(num_rounds=2, min_sites=1, correction={"name": "scaffold"}), trainer.weights())
    rule = rounds.config.correction
    first = trainer.train_round(rounds.outgoing, 0, 2, None, rule, None)
    again = trainer.train_round(rounds.outgoing, 1, 2, None, rule, None)
    for name, change in first.arrays.items():
        np.testing.assert_allclose(again.arrays[name], change, atol=1e-6)
    taken = trainer.train_round(rounds.outgoing, 2, 2, None, rule, 1)
    assert any(np.abs(taken.arrays[name] - change).max() > 1e-4 for name, change in first.arrays.items())


def test_fedbn_keeps_normalisation_at_the_site_and_averages_the_rest(sites) -> None:
    trainers = sites(network={"name": "UNet", "arguments": AFFINE}, site_local=NORMS)
    start = trainers["a"].weights()
    local = {name for name in start if ".adn.N." in name}
    assert local
    first = {k: trainer.train_round(start, 0, 2).arrays for k, trainer in trainers.items()}
    for k, trainer in trainers.items():
        after = trainer.weights()
        assert all(not first[k][name].any() for name in local)
        assert any(np.abs(after[name] - start[name]).max() > 1e-4 for name in local)
    p = _shares(trainers, ("a", "b"))
    common = {n: start[n] + sum(np.float32(p[k]) * first[k][n] for k in trainers) for n in start}
    own = {k: {name: trainer.weights()[name] for name in local} for k, trainer in trainers.items()}
    second = {k: trainer.train_round(common, 1, 2, accepted=0).arrays for k, trainer in trainers.items()}
    # Worked out apart: a plain site that begins the round with the common model and its own normalisation.
    for k, plain in sites(network={"name": "UNet", "arguments": AFFINE}).items():
        expected = plain.train_round(common | own[k], 1, 2).arrays
        _same(second[k], {name: expected[name] for name in start if name not in local})


def test_a_site_scores_the_common_model_with_its_own_normalisation(sites, monkeypatch) -> None:
    trainer = sites(network={"name": "UNet", "arguments": AFFINE}, site_local=NORMS)["a"]
    start = trainer.weights()
    trainer.train_round(start, 0, 1)
    trained = trainer.weights()
    trainer.evaluate(start, ())
    for name, value in trainer.weights().items():
        np.testing.assert_array_equal(value, trained[name] if ".adn.N." in name else start[name])


def test_ditto_is_the_papers_personal_step_beside_the_common_one(sites, gradients) -> None:
    strength = 0.4
    trainers = sites(personal={"name": "ditto", "strength": strength})
    plain = sites()
    v = {k: {n: x.astype(np.float64) for n, x in trainers["a"].weights().items()} for k in trainers}
    w = trainers["a"].weights()
    for index in range(2):
        for k, trainer in trainers.items():
            assert_equal = trainer.train_round(w, index, 2).arrays
            _same(assert_equal, dict(plain[k].train_round(w, index, 2).arrays))
            trainer.train_personal(w, index, 2)
            for _ in range(STEPS):
                g = gradients[k](v[k])
                v[k] = {n: v[k][n] - RATE * (g[n] + strength * (v[k][n] - w[n])) for n in w}
        w = {n: w[n] + np.float32(0.01) for n in w}
    for k, trainer in trainers.items():
        trainer.evaluate_personal(())
        _same(trainer.weights(), v[k])


def test_ditto_may_take_more_steps_than_an_epoch_has(sites, gradients) -> None:
    strength, steps = 0.4, 2 * STEPS + 1
    trainers = sites(personal={"name": "ditto", "strength": strength, "steps_per_round": steps})
    w = trainers["a"].weights()
    for k, trainer in trainers.items():
        v = {n: x.astype(np.float64) for n, x in w.items()}
        trainer.train_personal(w, 0, 1)
        for _ in range(steps):
            g = gradients[k](v)
            v = {n: v[n] - RATE * (g[n] + strength * (v[n] - w[n])) for n in w}
        trainer.evaluate_personal(())
        _same(trainer.weights(), v)


@pytest.mark.parametrize(("asked", "rate"), [({}, RATE), ({"learning_rate": 0.01, "share": 0.25}, 0.01)])
def test_a_fine_tuned_model_is_the_common_one_trained_further(sites, gradients, asked, rate) -> None:
    steps = 2 * STEPS + 1
    trainers = sites(personal={"name": "fine_tuned", "steps": steps, **asked})
    common = {n: x + np.float32(0.01) for n, x in trainers["a"].weights().items()}
    for k, trainer in trainers.items():
        v = {n: x.astype(np.float64) for n, x in common.items()}
        for _ in range(steps):
            g = gradients[k](v)
            v = {n: v[n] - rate * g[n] for n in v}
        trainer.fine_tune(common)
        trainer.evaluate(common, ())
        trainer.evaluate_personal(())
        share = asked.get("share", 1.0)
        _same(trainer.weights(), {n: common[n] + share * (v[n] - common[n]) for n in v})


def test_fine_tuning_begins_with_moments_of_its_own(sites) -> None:
    section = {"personal": {"name": "fine_tuned", "steps": 2}, "optimizer": {"name": "AdamW", "learning_rate": 0.01}}
    fresh, used = (sites(**section)["a"] for _ in range(2))
    common = fresh.weights()
    used.train_round(common, 0, 1)
    for trainer in (fresh, used):
        trainer.fine_tune(common)
    _same(used.weights(), fresh.weights())


@pytest.mark.parametrize("personal", [{"name": "ditto", "steps_per_round": 5}, {"name": "fine_tuned", "steps": 5}])
def test_a_site_without_cases_trains_no_personal_model(sites, personal) -> None:
    trainer = sites(personal=personal)["a"]
    empty = Trainer(trainer.config, trainer.classes, (), "a", "cpu", trainer._state)
    beside, after = (empty.train_personal, (0, 1)), (empty.fine_tune, ())
    (train, rounds), (other, none) = (beside, after) if personal["name"] == "ditto" else (after, beside)
    with pytest.raises(TrainingError, match="no training case"):
        train(empty.weights(), *rounds)
    with pytest.raises(ConfigError, match=r"training\.personal is not"):
        other(empty.weights(), *none)


@pytest.mark.parametrize(
    ("section", "said"),
    [({"proximal_mu": 0.1}, "proximal_mu"), ({"site_local": ("*",)}, "site_local")],
)
def test_what_does_not_go_with_a_correction_is_refused(sites, section, said) -> None:
    trainers = sites(**section)
    with pytest.raises(ConfigError, match=rf"training\.{said} and rounds\.correction do not go together"):
        _run(trainers, {"name": "scaffold"})


def test_a_pattern_that_names_no_parameter_is_refused(sites) -> None:
    with pytest.raises(ConfigError, match=r"training\.site_local: 'nothing' names no parameter"):
        sites(site_local=("nothing",))
