"""The server's steps against two rounds calculated by hand."""

import numpy as np
import pytest

from fedvoxel.federation.server_optimizer import AdamStep, MomentumStep, PlainStep, ServerOptimizer, YogiStep

MODEL = {"w": np.array([1.0, -2.0], np.float32)}
FIRST = {"w": np.array([0.5, 0.25], np.float32)}
SECOND = {"w": np.array([-0.5, 1.0], np.float32)}


def _two_rounds(config) -> np.ndarray:
    optimizer = ServerOptimizer(config)
    model = optimizer.step(optimizer.step(MODEL, FIRST), SECOND)
    return model["w"]


def test_plain_step_adds_the_mean() -> None:
    np.testing.assert_allclose(_two_rounds(PlainStep()), [1.0, -0.75])
    np.testing.assert_allclose(_two_rounds(PlainStep(learning_rate=2.0)), [1.0, 0.5])


def test_momentum_keeps_the_last_direction() -> None:
    # m1 = d1, m2 = 0.5 m1 + d2 = [-0.25, 1.125]; x2 = x0 + m1 + m2.
    np.testing.assert_allclose(_two_rounds(MomentumStep(name="momentum", beta=0.5)), [1.25, -0.625])


def test_adam_is_the_papers_formula() -> None:
    config = AdamStep(name="adam", learning_rate=0.1, beta_1=0.9, beta_2=0.99, tau=0.001)
    m1, v1 = 0.1 * FIRST["w"], 0.01 * FIRST["w"] ** 2
    x1 = MODEL["w"] + 0.1 * m1 / (np.sqrt(v1) + 0.001)
    m2, v2 = 0.9 * m1 + 0.1 * SECOND["w"], 0.99 * v1 + 0.01 * SECOND["w"] ** 2
    x2 = x1 + 0.1 * m2 / (np.sqrt(v2) + 0.001)
    np.testing.assert_allclose(_two_rounds(config), x2, rtol=1e-5)


def test_yogi_is_the_papers_formula() -> None:
    config = YogiStep(name="yogi", learning_rate=0.1, beta_1=0.9, beta_2=0.99, tau=0.001)
    m1, v1 = 0.1 * FIRST["w"], 0.01 * FIRST["w"] ** 2  # sign(0 - d^2) = -1
    x1 = MODEL["w"] + 0.1 * m1 / (np.sqrt(v1) + 0.001)
    m2, v2 = 0.9 * m1 + 0.1 * SECOND["w"], v1 + 0.01 * SECOND["w"] ** 2  # v1 < d^2 still
    x2 = x1 + 0.1 * m2 / (np.sqrt(v2) + 0.001)
    np.testing.assert_allclose(_two_rounds(config), x2, rtol=1e-5)


def test_yogi_forgets_a_large_round_slowly() -> None:
    small = {"w": np.array([1e-3, 1e-3], np.float32)}
    optimizer = ServerOptimizer(YogiStep(name="yogi", learning_rate=0.1, beta_1=0.0, beta_2=0.99, tau=1e-3))
    optimizer.step(MODEL, FIRST)
    after = optimizer.step(MODEL, small)["w"] - MODEL["w"]
    second = 0.01 * FIRST["w"] ** 2 - 0.01 * small["w"] ** 2  # sign(v - d^2) = 1: falls by the small square alone
    np.testing.assert_allclose(after, 0.1 * small["w"] / (np.sqrt(second) + 1e-3), rtol=1e-3)


@pytest.mark.parametrize(
    "config", [PlainStep(), MomentumStep(name="momentum"), AdamStep(name="adam"), YogiStep(name="yogi")]
)
def test_the_model_given_is_left_alone(config) -> None:
    before = MODEL["w"].copy()
    result = ServerOptimizer(config).step(MODEL, FIRST)
    assert result["w"].dtype == np.float32
    np.testing.assert_array_equal(MODEL["w"], before)
