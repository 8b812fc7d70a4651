"""Writes the figures."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.contribution.plan import Part
from benchmarks.parts import Values


def write_results(found: Mapping[Part, Values], out: Path) -> None:
    """Writes contribution.json, .md and .png into `out`."""
