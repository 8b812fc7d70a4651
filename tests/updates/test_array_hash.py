"""The hash of arrays depends on names, types, shapes and values, and not on order or memory layout."""

import numpy as np

from fedvoxel.updates.array_hash import hash_of_arrays

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(0, np.float32)}


def test_the_same_arrays_have_the_same_hash() -> None:
    same = {"b": ARRAYS["b"], "a": np.asfortranarray(ARRAYS["a"])}
    assert hash_of_arrays(same) == hash_of_arrays(ARRAYS)
    assert hash_of_arrays({"a": np.float32(1)}) == hash_of_arrays({"a": np.array(1, np.float32)})  # type: ignore[dict-item]


def test_any_difference_makes_another() -> None:
    others = [
        {"a": ARRAYS["a"]},
        {"a": ARRAYS["a"], "c": ARRAYS["b"]},
        ARRAYS | {"a": ARRAYS["a"].reshape(3, 2)},
        ARRAYS | {"a": ARRAYS["a"].view(np.int32)},
        ARRAYS | {"a": ARRAYS["a"] + np.float32(1e-6)},
    ]
    assert len({hash_of_arrays(arrays) for arrays in (ARRAYS, *others)}) == 6
