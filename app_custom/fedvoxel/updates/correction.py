"""The rules that correct each site's steps for what makes its cases differ from the others', and what travels for them.

The server names the rule with each round, since both sides keep a state for it. SCAFFOLD's control variates travel both
ways beside the arrays of the model, under names of their own; FedDyn sends nothing more.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from fedvoxel.config import FrozenModel
from fedvoxel.updates.update import Arrays

CONTROL = "control:"
"""Stands before a parameter's name where its control variate travels."""


class Scaffold(FrozenModel):
    """Configures SCAFFOLD: site k steps along g_k - c_k + c. Twice the bytes both ways.

    Source: Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML 2020,
    Algorithm 1.
    """

    name: Literal["scaffold"]


class FedDyn(FrozenModel):
    """Configures FedDyn: site k minimises F_k(w) - <h_k, w> + alpha / 2 ||w - w^t||^2.

    Source: Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021, Algorithm 1.
    """

    name: Literal["feddyn"]
    alpha: float = Field(default=0.01, gt=0, le=1000)


Correction = Annotated[Scaffold | FedDyn, Field(discriminator="name")]
READ_CORRECTION: TypeAdapter[Scaffold | FedDyn | None] = TypeAdapter(Correction | None)


def with_controls(arrays: Arrays, controls: Arrays) -> dict[str, NDArray[np.float32]]:
    """Returns the arrays of a model or of a difference together with those of its control variates."""
    return {**arrays, **{CONTROL + name: array for name, array in controls.items()}}


def split_controls(
    arrays: Mapping[str, NDArray[np.float32]],
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Returns what `with_controls` put together: the arrays, and the control variates under their parameters' names."""
    plain = {name: array for name, array in arrays.items() if not name.startswith(CONTROL)}
    controls = {name.removeprefix(CONTROL): array for name, array in arrays.items() if name.startswith(CONTROL)}
    return plain, controls
