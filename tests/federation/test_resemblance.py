"""Lengths and cosines against numpy's own, and what is left out where there are too many sites."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.federation import resemblance
from fedvoxel.federation.resemblance import MOST_COMPARED, Paths, resemblance_of, step_between
from fedvoxel.updates.update import Update

SHAPES = {"kernel": (300, 300), "bias": (7,)}


def _arrays(seed: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def _flat(arrays: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.concatenate([array.reshape(-1) for array in arrays.values()]).astype(np.float64)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def _updates(count: int = 3) -> dict[str, Update]:
    return {f"h{index}": Update(_arrays(index), 5) for index in range(count)}


def test_lengths_and_cosines_are_numpys() -> None:
    updates, step = _updates(), _arrays(9)
    found = resemblance_of(updates, step)
    flat = {site: _flat(update.arrays) for site, update in updates.items()}
    assert found.norms == pytest.approx({site: np.linalg.norm(vector) for site, vector in flat.items()})
    assert found.pairs["h0"]["h2"] == pytest.approx(_cosine(flat["h0"], flat["h2"]), abs=1e-6)
    assert found.pairs.keys() == {"h0", "h1"} and found.pairs["h1"].keys() == {"h2"}
    assert found.last_step["h1"] == pytest.approx(_cosine(flat["h1"], _flat(step)), abs=1e-6)


def test_zeros_have_no_direction_and_the_first_round_no_step() -> None:
    nothing = Update({name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}, 5)
    paths = Paths()
    found = resemblance_of({**_updates(2), "h2": nothing}, paths=paths)
    assert found.norms["h2"] == 0 and found.pairs["h0"]["h2"] == 0 and found.last_step == {}
    assert found.paths == {"h0": found.paths["h0"]} and found.paths["h0"].keys() == {"h1"}


def test_a_path_adds_directions_of_length_one_up() -> None:
    paths, rounds = Paths(), [{"a": 1.0, "b": 2.0}, {"a": 100.0, "b": 0.5}]
    sums = {"a": np.zeros(_flat(_arrays(0)).size), "b": np.zeros(_flat(_arrays(0)).size)}
    for index, lengths in enumerate(rounds):
        updates = {}
        for place, (site, length) in enumerate(lengths.items()):
            arrays = {name: array * np.float32(length) for name, array in _arrays(10 * index + place).items()}
            updates[site] = Update(arrays, 5)
            sums[site] += _flat(arrays) / np.linalg.norm(_flat(arrays))
        found = resemblance_of(updates, paths=paths)
    assert found.paths["a"]["b"] == pytest.approx(_cosine(sums["a"], sums["b"]), abs=1e-5)


def test_a_large_model_is_tracked_along_some_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resemblance, "MOST_TRACKED", 20_000)
    one, other = _arrays(1), _arrays(2)
    mixed = {name: one[name] + other[name] for name in one}
    paths = Paths()
    paths.add({"a": Update(one, 1), "b": Update(mixed, 1)})
    assert paths.cosines(["a", "b"])["a"]["b"] == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert all(vector.size == 20_000 for vector in paths._sums.values())


def test_many_sites_are_not_compared_pair_by_pair() -> None:
    updates = {
        f"h{index:02d}": Update({"w": np.full(3, index + 1, np.float32)}, 1) for index in range(MOST_COMPARED + 1)
    }
    found = resemblance_of(updates, {"w": np.ones(3, np.float32)})
    assert found.pairs == {} and found.paths == {}
    assert found.norms["h02"] == pytest.approx(3 * np.sqrt(3)) and found.last_step["h02"] == 1.0


def test_a_step_is_the_difference_of_two_models() -> None:
    assert step_between({"w": np.float32([1, 2])}, {"w": np.float32([3, 2])})["w"].tolist() == [2.0, 0.0]
