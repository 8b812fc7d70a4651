"""Decides what a blinded reader sees first, and which candidate is called A: by a seed, the same at every start.

The order of the cases is another for each reader, so that tiredness does not fall on the same cases. A letter stands
for the model in about half of the cases, and for the same candidate for all readers of a case, so that what they say
of A can be compared.
"""

import hashlib
from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np


def reading_order(cases: Sequence[str], seed: int, reader: str) -> tuple[str, ...]:
    """Returns the cases in the order in which `reader` reads them."""
    order = _random(seed, "order", reader).permutation(len(cases))
    ordered = sorted(cases)
    return tuple(ordered[place] for place in order)


def letters_of(candidates: Sequence[str], seed: int, case: str) -> dict[str, str]:
    """Returns which candidate is behind each letter, from A, in one case."""
    ordered = sorted(candidates)
    order = _random(seed, "letters", case).permutation(len(ordered))
    return {ascii_uppercase[place]: ordered[which] for place, which in enumerate(order)}


def _random(seed: int, what: str, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{what}\0{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
