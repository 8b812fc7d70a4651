"""A hash tree over the entries of a log, by which a log proves in a few hashes that it still begins as it did before.

Whoever has kept the root over the first m entries needs no entry to check that the first m of n entries are the same:
a proof is at most 2 log2(n) hashes. A chain of hashes alone would have to show everything in between.

Source: RFC 9162 (Certificate Transparency 2.0), sections 2.1.1 (tree), 2.1.2 (roots in one pass), 2.1.4.1 (proof) and
2.1.4.2 (check); SHA-256. A leaf is the hash of a log's entry, which covers the entry and all before it.
"""

import hashlib
from collections.abc import Collection, Sequence

_LEAF, _NODE = b"\x00", b"\x01"


def tree_root(leaves: Sequence[str]) -> str:
    """Returns the root over entries' hashes (hexadecimal), in their order."""
    return _root([_leaf(leaf) for leaf in leaves]).hex()


def tree_roots(leaves: Sequence[str], sizes: Collection[int]) -> dict[int, str]:
    """Returns the roots over the first so many hashes, by their number from 1, in one pass; no root of more than are.

    Args:
        leaves: Entries' hashes (hexadecimal), in their order.
        sizes: The numbers.
    """
    wanted, roots, full = set(sizes), dict[int, str](), list[bytes]()
    for count, leaf in enumerate(leaves, 1):
        full.append(_leaf(leaf))
        # Each 0 at the end of the number in binary is a pair of full trees of one size, which are one from here on.
        for _ in range((count & -count).bit_length() - 1):
            right = full.pop()
            full[-1] = _join(full[-1], right)
        if count in wanted:
            root = full[-1]
            for left in reversed(full[:-1]):
                root = _join(left, root)
            roots[count] = root.hex()
    return roots


def extension_proof(leaves: Sequence[str], before: int) -> tuple[str, ...]:
    """Returns what shows that the tree over all of `leaves` extends that over the first `before`; empty for 0 or all.

    Raises:
        ValueError: `before` is not between 0 and the number of leaves.
    """
    if not 0 <= before <= len(leaves):
        raise ValueError(f"expected 0 to {len(leaves)} entries, got {before}")
    if before in (0, len(leaves)):
        return ()
    return tuple(node.hex() for node in _subproof([_leaf(leaf) for leaf in leaves], before, whole=True))


def extends(old: tuple[int, str], new: tuple[int, str], proof: Sequence[str]) -> bool:
    """Says whether a proof shows that a tree extends an older one.

    Args:
        old: How many leaves the older tree has, at least 1, and its root.
        new: The same of the newer tree.
        proof: What `extension_proof` returned.
    """
    (before, old_root), (now, new_root) = old, new
    if not 1 <= before <= now:
        return False
    if before == now:
        return not proof and old_root == new_root
    try:
        nodes = [bytes.fromhex(node) for node in proof]
    except ValueError:
        return False
    if before & (before - 1) == 0:
        nodes.insert(0, bytes.fromhex(old_root))
    return bool(nodes) and _walk(nodes, before - 1, now - 1) == (bytes.fromhex(old_root), bytes.fromhex(new_root))


def _walk(nodes: Sequence[bytes], old_place: int, new_place: int) -> tuple[bytes, bytes] | None:
    """Returns the two roots that a proof leads to; None where it has too few or too many nodes."""
    while old_place & 1:
        old_place, new_place = old_place >> 1, new_place >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if new_place == 0:
            return None
        if old_place & 1 or old_place == new_place:
            old, new = _join(node, old), _join(node, new)
            while old_place and not old_place & 1:
                old_place, new_place = old_place >> 1, new_place >> 1
        else:
            new = _join(new, node)
        old_place, new_place = old_place >> 1, new_place >> 1
    return (old, new) if new_place == 0 else None


def _leaf(leaf: str) -> bytes:
    return hashlib.sha256(_LEAF + bytes.fromhex(leaf)).digest()


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _root(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    row = list(hashes)
    while len(row) > 1:
        # An odd one out rises as it is: the left part of a tree is always the largest full one.
        paired = [_join(row[place], row[place + 1]) for place in range(0, len(row) - 1, 2)]
        row = paired + row[len(paired) * 2 :]
    return row[0]


def _subproof(hashes: Sequence[bytes], before: int, whole: bool) -> list[bytes]:
    if before == len(hashes):
        return [] if whole else [_root(hashes)]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    if before <= split:
        return [*_subproof(hashes[:split], before, whole), _root(hashes[split:])]
    return [*_subproof(hashes[split:], before - split, whole=False), _root(hashes[:split])]
