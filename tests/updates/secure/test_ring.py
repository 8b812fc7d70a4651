import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.masks import add_mask, derive_key
from fedvoxel.updates.secure.ring import Ring

WIDTHS = st.sampled_from([*range(8, 33), 64])


@given(WIDTHS, st.integers(0, 70), st.integers(0, 2**32))
def test_packed_residues_come_back(bits: int, count: int, seed: int) -> None:
    ring = Ring(bits)
    residues = ring.reduced(np.random.default_rng(seed).integers(0, 2**63, count, np.uint64).astype(ring.dtype))
    packed = ring.pack(residues)
    assert len(packed) == ring.size_bytes(count) <= -(-count * bits // 8) + bits % 8
    assert np.array_equal(ring.unpack(packed, count), residues)


@given(WIDTHS, st.integers(1, 200), st.integers(0, 2**32))
def test_the_sum_of_the_largest_values_does_not_overflow(bits: int, sites: int, seed: int) -> None:
    ring = Ring(bits)
    most, random = ring.most(sites), np.random.default_rng(seed)
    values = random.integers(-most, most, (sites, 20), endpoint=True) if most else np.zeros((sites, 20), np.int64)
    values[:, 0], values[:, 1] = most, -most
    total = np.zeros(20, ring.dtype)
    for each in values:
        total += ring.residues(each)
    assert np.array_equal(ring.centred(ring.reduced(total)), values.sum(0))


def test_one_more_than_the_most_overflows() -> None:
    ring = Ring(8)
    most = ring.most(3)
    total = ring.reduced(ring.residues(np.array([most + 1])) * np.uint16(3) + ring.residues(np.array([2])))
    assert ring.centred(total)[0] != 3 * (most + 1) + 2


def test_packed_residues_of_a_wrong_length_are_refused() -> None:
    ring = Ring(10)
    packed = ring.pack(np.zeros(9, ring.dtype))
    for wrong in (packed[:-1], packed + b"\0", b""):
        with pytest.raises(UpdateError, match="expected 13"):
            ring.unpack(wrong, 9)


@pytest.mark.parametrize("bits", [9, 16, 20, 32, 64])
def test_a_mask_comes_off_again_and_differs_by_key(bits: int) -> None:
    ring, values = Ring(bits), np.arange(5_000_000 if bits == 16 else 1000, dtype=np.int64) % 100
    residues = ring.residues(values)
    add_mask(residues, ring, derive_key(b"a" * 16, "values", b"here"))
    masked = ring.reduced(residues.copy())
    assert (masked != ring.residues(values)).mean() > 0.9
    other = ring.residues(values)
    add_mask(other, ring, derive_key(b"a" * 16, "values", b"there"))
    assert (ring.reduced(other) != masked).mean() > 0.9
    add_mask(residues, ring, derive_key(b"a" * 16, "values", b"here"), -1)
    assert np.array_equal(ring.centred(ring.reduced(residues)), values)
