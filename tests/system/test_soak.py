"""Sixty rounds with three sites in which little but memory grows; the long run is `scripts/benchmark soak`."""

from pathlib import Path

import pytest

from benchmarks.chaos.machines import why_not
from benchmarks.soak.measure import soak

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


_MOST_MB = 100.0


def test_little_grows_in_sixty_rounds(tmp_path: Path) -> None:
    said: list[str] = []
    found = soak(tmp_path, sites=3, rounds=60, every_s=0.2, say=said.append)
    # The memory of job processes levels off after some 90 s and 50 MB: this run is too short to tell that it does.
    memory = [row for row in found if row["what"] == "memory (MB)"]
    grew = [row for row in found if not row["flat"] and (row not in memory or row["most"] > _MOST_MB)]
    assert {row["what"] for row in found} == {"memory (MB)", "file descriptors", "disk (MB)"}
    assert len(found) >= 3 * 2 * 3
    assert grew == [], said
