"""Six hundred rounds with three sites, in which nothing grows once level; longer is `scripts/benchmark soak`."""

from pathlib import Path

import pytest

from benchmarks.chaos.machines import why_not
from benchmarks.soak.measure import soak

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


@pytest.mark.timeout(1500)
def test_nothing_grows_once_memory_is_level(tmp_path: Path) -> None:
    said: list[str] = []
    # Samples are taken from `LEVEL_AFTER_S` on: the run has to last well beyond that, also on a fast machine.
    found = soak(tmp_path, sites=3, rounds=600, every_s=0.5, say=said.append)
    grew = [row for row in found if not row["flat"]]
    assert {row["what"] for row in found} == {"memory (MB)", "file descriptors", "disk (MB)"}
    assert len(found) >= 3 * 2 * 3
    assert grew == [], said
