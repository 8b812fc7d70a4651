"""The hash tree: a proof leads from an older root to a newer one, and from nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.records.tree import extends, extension_proof, tree_root, tree_roots

LEAVES = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(80)]
OTHER = hashlib.sha256(b"another").hexdigest()

_pairs = st.integers(1, 79).flatmap(lambda now: st.tuples(st.integers(1, now), st.just(now)))


def test_the_root_is_that_of_the_standard() -> None:
    def leaf(text: str) -> bytes:
        return hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest()

    first, second, third = map(leaf, LEAVES[:3])
    left = hashlib.sha256(b"\x01" + first + second).digest()
    assert tree_root(LEAVES[:1]) == first.hex()
    assert tree_root(LEAVES[:3]) == hashlib.sha256(b"\x01" + left + third).hexdigest()
    assert tree_root([]) == hashlib.sha256(b"").hexdigest()


@given(st.sets(st.integers(0, 90)))
def test_roots_in_one_pass_are_those_of_each_beginning(sizes: set[int]) -> None:
    there = [size for size in sizes if 1 <= size <= len(LEAVES)]
    assert tree_roots(LEAVES, sizes) == {size: tree_root(LEAVES[:size]) for size in there}


@given(_pairs)
def test_what_grew_is_shown_to_have_grown(sizes: tuple[int, int]) -> None:
    before, now = sizes
    proof = extension_proof(LEAVES[:now], before)
    assert extends((before, tree_root(LEAVES[:before])), (now, tree_root(LEAVES[:now])), proof)
    assert len(proof) <= 2 * now.bit_length()


@given(_pairs, st.data())
def test_a_log_whose_beginning_was_changed_has_no_proof(sizes: tuple[int, int], data: st.DataObject) -> None:
    before, now = sizes
    changed = list(LEAVES[:now])
    changed[data.draw(st.integers(0, before - 1))] = OTHER
    old, new = (before, tree_root(LEAVES[:before])), (now, tree_root(changed))
    assert not extends(old, new, extension_proof(changed, before))
    assert not extends(old, new, extension_proof(LEAVES[:now], before))


@given(_pairs, st.data())
def test_a_changed_proof_is_none(sizes: tuple[int, int], data: st.DataObject) -> None:
    before, now = sizes
    old, new = (before, tree_root(LEAVES[:before])), (now, tree_root(LEAVES[:now]))
    proof = list(extension_proof(LEAVES[:now], before))
    assert not extends(old, new, [*proof, OTHER])
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not extends(old, new, proof[:place] + proof[place + 1 :])
        assert not extends(old, new, [*proof[:place], OTHER, *proof[place + 1 :]])
        assert not extends(old, new, ["no hash", *proof])


def test_what_got_shorter_or_begins_nowhere_is_no_extension() -> None:
    old = (5, tree_root(LEAVES[:5]))
    assert not extends(old, (4, tree_root(LEAVES[:4])), ())
    assert not extends((0, tree_root([])), old, ())
    with pytest.raises(ValueError, match="expected 0 to 5 entries"):
        extension_proof(LEAVES[:5], 6)
