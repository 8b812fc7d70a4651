"""FedVoxel's rounds as Flower's strategy, on real messages: order, quorum, and refusals by the node's number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TooFewError
from fedvoxel.federation.rounds_config import RoundsConfig
from tests.flower_apps import needs_flower

pytestmark = needs_flower

MODEL = {"conv": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4), "bias": np.full(3, 0.5, np.float32)}
Change = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


def rounds(**changes: Any) -> RoundsConfig:
    said = {"num_rounds": 2, "min_sites": 2, "evaluate": False} | changes
    return parse_config(RoundsConfig, said, "the test's rounds")


def node(seed: int, change: Change = lambda arrays, metrics: None, record: str = "update", dice: float = 0.5) -> Any:
    """An app whose update is drawn from `seed` and the round, and then changed."""
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.train()
    def train(message: Message, context: Any) -> Message:
        draw = np.random.default_rng([seed, int(message.content["config"]["server-round"])])
        arrays = {name: draw.normal(0, 0.01, array.shape).astype(np.float32) for name, array in MODEL.items()}
        metrics: dict[str, Any] = {"num-examples": 10 + seed}
        change(arrays, metrics)
        content = {
            record: ArrayRecord({name: Array(array) for name, array in arrays.items()}),
            "metrics": MetricRecord(metrics),
        }
        return Message(content=RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Any) -> Message:
        metrics = MetricRecord({"num-examples": 4, "dice.blob": dice})
        return Message(content=RecordDict({"metrics": metrics}), reply_to=message)

    return app


def run(apps: Mapping[int, Any], config: RoundsConfig, seed: int = 0) -> tuple[Any, Any]:
    """Runs all rounds; returns the strategy and Flower's result."""
    from flwr.app import Array, ArrayRecord

    from fedvoxel.ops.flower.strategy import FedVoxelStrategy
    from tests.ops.flower.nodes import Nodes, begin

    begin()
    strategy = FedVoxelStrategy(config)
    first = ArrayRecord({name: Array(array) for name, array in MODEL.items()})
    return strategy, strategy.run(Nodes(apps, {}, seed), first)


def bits(result: Any) -> dict[str, bytes]:
    return {name: array.numpy().tobytes() for name, array in result.arrays.items()}


def test_the_model_has_the_same_bits_whatever_the_order_of_arrival() -> None:
    apps = {number: node(number) for number in range(1, 6)}
    made = [bits(run(apps, rounds(), seed)[1]) for seed in range(4)]
    assert made[0] == made[1] == made[2] == made[3]


def test_it_is_the_mean_weighted_by_cases() -> None:
    def by(step: float, cases: int) -> Change:
        return spoil(cases=cases, **{name: np.full_like(array, step) for name, array in MODEL.items()})

    _, result = run({1: node(1, by(0.1, 30)), 2: node(2, by(0.2, 10))}, rounds(num_rounds=1))
    np.testing.assert_allclose(result.arrays["bias"].numpy(), 0.5 + (30 * 0.1 + 10 * 0.2) / 40, rtol=1e-6)


def spoil(**values: Any) -> Change:
    def change(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
        arrays |= {name: value for name, value in values.items() if name in MODEL}
        metrics |= {"num-examples": values["cases"]} if "cases" in values else {}

    return change


def whole(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
    arrays |= {name: MODEL[name] + arrays[name] for name in MODEL}


def zeros(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
    arrays |= {name: np.zeros_like(array) for name, array in MODEL.items()}


BAD: dict[str, tuple[Any, str]] = {
    "not finite": (spoil(bias=np.full(3, np.nan, np.float32)), "non-finite values in bias"),
    "misshapen": (spoil(bias=np.zeros(4, np.float32)), "wrong shape: bias"),
    "too many cases": (spoil(cases=200_000), "absurd weight"),
    "a whole model": (whole, "full weights"),
    "zeros": (zeros, "expected an update that moves the model"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_update_is_refused_by_its_nodes_number_and_the_round_goes_on(kind: str) -> None:
    change, reason = BAD[kind]
    good = {1: node(1), 2: node(2)}
    strategy, result = run(good | {77: node(3, change)}, rounds(num_rounds=1))
    assert list(strategy.refused[0]) == ["77"] and reason in strategy.refused[0]["77"]
    assert bits(result) == bits(run(good, rounds(num_rounds=1))[1])
    assert dict(result.train_metrics_clientapp[1]) == {"accepted": 2, "refused": 1}


def test_flowers_usual_full_weights_are_refused() -> None:
    strategy, _ = run({1: node(1), 2: node(2), 77: node(3, record="arrays")}, rounds(num_rounds=1))
    assert "send_update" in strategy.refused[0]["77"]


def test_a_round_below_its_quorum_ends_the_run_and_names_who_was_refused() -> None:
    with pytest.raises(TooFewError, match=r"round 0: 1 of the 2 sites.*77.*non-finite"):
        run({1: node(1), 77: node(2, BAD["not finite"][0])}, rounds())


def test_an_app_that_fails_is_refused_without_its_own_words() -> None:
    def fail(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
        raise ValueError("Mueller^Anna")

    strategy, _ = run({1: node(1), 2: node(2), 77: node(3, fail)}, rounds(num_rounds=1))
    assert strategy.refused == [{"77": "it answered with an error"}]


def test_an_update_that_is_sent_twice_is_refused_the_second_time() -> None:
    same = spoil(bias=np.full(3, 0.01, np.float32), conv=np.full((2, 3, 4), 0.01, np.float32))
    strategy, _ = run({1: node(1), 2: node(2), 77: node(3, same)}, rounds())
    assert strategy.refused[0] == {} and "seen before" in strategy.refused[1]["77"]


def test_scores_choose_the_best_model() -> None:
    strategy, result = run({1: node(1, dice=0.25), 2: node(2, dice=0.75)}, rounds(evaluate=True))
    assert [dict(metrics) for metrics in result.evaluate_metrics_clientapp.values()] == [{"dice": 0.5}, {"dice": 0.5}]
    assert strategy.best_model is not None and set(strategy.best_model) == set(MODEL)


def test_a_score_that_is_none_is_left_out() -> None:
    _, result = run({1: node(1, dice=0.5), 2: node(2, dice=7.0)}, rounds(evaluate=True, num_rounds=1))
    assert dict(result.evaluate_metrics_clientapp[1]) == {"dice": 0.5}


def test_a_robust_rule_is_the_one_of_a_job() -> None:
    config = rounds(num_rounds=1, min_sites=3, aggregation={"name": "median"})

    def far(arrays: dict[str, np.ndarray], metrics: dict[str, Any]) -> None:
        arrays |= {name: np.full_like(array, 100) for name, array in MODEL.items()}

    _, result = run({1: node(1), 2: node(2), 3: node(3, far)}, config)
    assert float(np.abs(result.arrays["bias"].numpy() - 0.5).max()) < 0.1


@pytest.mark.parametrize(
    "unfit",
    [
        {"secure_aggregation": {}},
        {"correction": {"name": "scaffold"}},
        {"compression": {"up": {"name": "fp16"}}},
        {"patience": 2, "evaluate": True},
        {"grace_s": 5.0},
        {"case_counts": {"hospital-a": 5}},
    ],
)
def test_what_the_strategy_does_not_do_is_refused(unfit: dict[str, Any]) -> None:
    from fedvoxel.ops.flower.strategy import FedVoxelStrategy

    with pytest.raises(ConfigError, match=rf"{next(iter(unfit))}"):
        FedVoxelStrategy(rounds(**unfit))


def test_no_more_rounds_than_planned() -> None:
    from flwr.app import Array, ArrayRecord

    from fedvoxel.ops.flower.strategy import FedVoxelStrategy
    from tests.ops.flower.nodes import Nodes, begin

    begin()
    first = ArrayRecord({name: Array(array) for name, array in MODEL.items()})
    with pytest.raises(ConfigError, match="another round was asked for"):
        FedVoxelStrategy(rounds(num_rounds=1)).start(Nodes({1: node(1), 2: node(2)}, {}), first, num_rounds=2)
