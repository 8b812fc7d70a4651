"""Chains whose hashes are right and whose bodies are not: what a forger writes who knows the format."""

import json
from typing import Any

from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.chain_entry import FIRST
from tests.fuzz.mutation import plain


def rechained(bodies: Any, **fields: Any) -> bytes:
    """Returns the lines of a chain with these bodies; keywords replace other fields of its last entry."""
    lines, previous = [], FIRST
    listed = bodies if isinstance(bodies, list) else [bodies]
    for index, body in enumerate(listed):
        content = {"index": index, "previous": previous, "at": "2026-03-02T09:30:00.000000Z", "clock_behind_s": 0.0}
        content["body"] = plain(body)
        if index == len(listed) - 1:
            content |= fields
        try:
            previous = sha256_of(content)
            text = json.dumps(content | {"hash": previous}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            lines.append(text.encode())
        except (ValueError, TypeError):
            lines.append(b"{}")
    return b"".join(line + b"\n" for line in lines)
