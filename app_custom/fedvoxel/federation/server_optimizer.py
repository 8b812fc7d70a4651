"""The step that the server takes along the mean update.

Source: Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2. With Delta_t the weighted mean of
local minus global, `plain` is x + eta * Delta_t; `momentum` keeps m_t = beta * m_{t-1} + Delta_t; `adam` keeps
m_t and v_t and steps eta * m_t / (sqrt(v_t) + tau), without bias correction, as in the paper; `yogi` differs from it in
v_t = v_{t-1} - (1 - beta_2) Delta_t^2 sign(v_{t-1} - Delta_t^2), so that v falls slowly after a large round.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.updates.update import Arrays


class PlainStep(FrozenModel):
    """Configures x + eta * Delta; eta = 1 is FedAvg."""

    name: Literal["plain"] = "plain"
    learning_rate: float = Field(default=1.0, gt=0, le=10)


class MomentumStep(FrozenModel):
    """Configures server momentum (FedAvgM)."""

    name: Literal["momentum"]
    learning_rate: float = Field(default=1.0, gt=0, le=10)
    beta: float = Field(default=0.9, ge=0, lt=1)


class AdamStep(FrozenModel):
    """Configures server Adam (FedAdam)."""

    name: Literal["adam"]
    learning_rate: float = Field(default=0.01, gt=0, le=10)
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    tau: float = Field(default=1e-3, gt=0)


class YogiStep(AdamStep):
    """Configures server Yogi (FedYogi)."""

    name: Literal["yogi"]  # type: ignore[assignment]


_Step = PlainStep | MomentumStep | AdamStep | YogiStep
ServerOptimizerConfig = Annotated[_Step, Field(discriminator="name")]


class ServerOptimizer:
    """Applies mean updates to the global model and keeps the moments between rounds."""

    def __init__(self, config: _Step) -> None:
        """Starts with zero moments."""
        self._config = config
        self._first: dict[str, NDArray[np.float32]] = {}
        self._second: dict[str, NDArray[np.float32]] = {}

    def step(self, model: Arrays, mean_update: Arrays) -> dict[str, NDArray[np.float32]]:
        """Returns the next global model; `model` is left as it is."""
        return {name: (array + self._move(name, mean_update[name])).astype(np.float32) for name, array in model.items()}

    def snapshot(self) -> Snapshot:
        """Returns the moments."""
        return Snapshot(arrays={"first": dict(self._first), "second": dict(self._second)})

    def restore(self, kept: Snapshot) -> None:
        """Takes moments back."""
        self._first, self._second = dict(kept.arrays["first"]), dict(kept.arrays["second"])

    def _move(self, name: str, delta: NDArray[np.float32]) -> NDArray[np.float32]:
        config = self._config
        if isinstance(config, PlainStep):
            return np.float32(config.learning_rate) * delta
        if isinstance(config, MomentumStep):
            momentum = np.float32(config.beta) * self._first.get(name, np.zeros_like(delta)) + delta
            self._first[name] = momentum
            return np.float32(config.learning_rate) * momentum
        return self._adam(config, name, delta)

    def _adam(self, config: AdamStep, name: str, delta: NDArray[np.float32]) -> NDArray[np.float32]:
        zero = np.zeros_like(delta)
        first = np.float32(config.beta_1) * self._first.get(name, zero) + np.float32(1 - config.beta_1) * delta
        second = _second_moment(config, self._second.get(name, zero), delta**2)
        self._first[name], self._second[name] = first, second
        return (np.float32(config.learning_rate) * first / (np.sqrt(second) + np.float32(config.tau))).astype(
            np.float32
        )


def _second_moment(config: AdamStep, before: NDArray[np.float32], squares: NDArray[np.float32]) -> NDArray[np.float32]:
    rest = np.float32(1 - config.beta_2)
    if isinstance(config, YogiStep):
        signs: NDArray[np.float32] = np.sign(before - squares)
        return before - rest * squares * signs
    return np.float32(config.beta_2) * before + rest * squares
