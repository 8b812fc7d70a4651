"""Randomness that a guarantee may rest on: ChaCha20 with a key of its own for every call, and no state in between.

`SecureNoise` takes 256 fresh bits from the operating system for each array that it draws. So there is no state that a
fork, a copy, a pickle, a restored snapshot or a seed set elsewhere in the job could repeat, and what was drawn cannot
be drawn again. A job that fixes every seed (`set_determinism` and the like) changes nothing here. `FixedNoise` repeats
itself, for experiments, and says of itself that it gives no guarantee.

What is left of attacks on arithmetic. Mironov ("On significance of the least significant bits for differential
privacy", CCS 2012) showed that noise drawn as floating-point numbers has gaps which tell what it was added to; Jin et
al. ("Are we there yet? Timing and floating-point attacks on differential privacy systems", IEEE S&P 2022) did it for
Gaussian samplers, Ziggurat included; Haney et al. ("Precision-based attacks and interval refining", 2022, arXiv
2207.13793) used that a sum's last bits depend on its terms, whatever the sampler. Summing several draws, as Opacus'
secure mode does, makes such searches expensive and is no proof. So no noise here is a floating-point number: mechanisms
put what they protect on a grid of whole numbers first, and add whole numbers that are exactly distributed. There are
neither gaps nor last bits. What remains:

- The sampler takes longer for larger draws. Nobody but the site's own machine can time a single draw; how long a round
  takes is visible to the server, and is not covered.
- A sampling probability is kept to 2^-53.
- A value so improbable (less than 1 in 10^215) that it would leave the range of whole numbers is not catered for.

Against whom: somebody who could predict ChaCha20 under an unknown key, or who reads the process's memory, is not kept
out. The guarantee is computational to that extent.
"""

import secrets
from abc import ABC, abstractmethod
from typing import ClassVar, cast

import numpy as np
import randomgen
from numpy.typing import NDArray

from fedvoxel.privacy.discrete_gaussian import discrete_gaussian

_KEY_BITS = 256


class Noise(ABC):
    """Draws what mechanisms need.

    Attributes:
        gives_guarantee: Whether a claim of privacy may rest on these draws.
    """

    gives_guarantee: ClassVar[bool]

    @abstractmethod
    def _generator(self) -> np.random.Generator:
        """Returns the generator for one call."""

    def discrete_gaussian(self, shape: tuple[int, ...], sigma: int) -> NDArray[np.int64]:
        """Returns independent draws of the discrete Gaussian on the whole numbers, exactly distributed.

        Args:
            shape: Of the array.
            sigma: Standard deviation in grid steps, a whole number from 1 on.

        Raises:
            ValueError: `sigma` is out of range.
        """
        size = int(np.prod(shape, dtype=np.int64))
        return discrete_gaussian(self._generator(), size, sigma).reshape(shape)

    def poisson_sample(self, count: int, probability: float) -> NDArray[np.int64]:
        """Returns which of `count` units take part: each by its own coin, in ascending order, possibly none.

        Args:
            count: Number of units, >= 0.
            probability: In (0, 1]; exact to 2^-53.

        Raises:
            ValueError: `probability` is out of range.
        """
        if not 0 < probability <= 1:
            raise ValueError(f"expected a sampling probability in (0, 1], got {probability!r}")
        return np.flatnonzero(self._generator().random(count) < probability)


class SecureNoise(Noise):
    """Draws from ChaCha20, keyed anew from the operating system for every call. Holds no state."""

    gives_guarantee = True

    def _generator(self) -> np.random.Generator:
        bits = randomgen.ChaCha(key=secrets.randbits(_KEY_BITS), rounds=20)
        return np.random.Generator(cast(np.random.BitGenerator, bits))


class FixedNoise(Noise):
    """Repeats the same draws for the same seed, so that an experiment can be repeated. Protects nobody."""

    gives_guarantee = False

    def __init__(self, seed: int) -> None:
        """Starts the sequence of draws that belongs to `seed`."""
        self._random = np.random.default_rng(seed)

    def _generator(self) -> np.random.Generator:
        return self._random
