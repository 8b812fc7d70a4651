"""A series is called flat only where growth is ruled out."""

import numpy as np
import pytest

from benchmarks.soak.__main__ import page
from benchmarks.soak.measure import Samples, rows
from benchmarks.soak.slope import verdict


def _series(growth: float, noise: float, length: int = 400) -> list[float]:
    random = np.random.default_rng(1)
    walk = np.convolve(random.normal(0, noise, length + 19), np.ones(20) / 20, "valid")
    return list(100 + growth * np.arange(length) / length + walk)


def test_noise_is_flat_and_growth_is_not() -> None:
    assert verdict(_series(0, 2), 8, 0.05).flat
    grown = verdict(_series(20, 2), 8, 0.05)
    assert not grown.flat and grown.growth == pytest.approx(15, abs=2)


def test_the_beginning_does_not_count() -> None:
    assert verdict([50.0] * 90 + [100.0] * 300, 3, 0).flat


def test_a_step_in_the_middle_counts() -> None:
    assert not verdict([10.0] * 200 + [30.0] * 200, 3, 0).flat


def test_what_is_too_noisy_to_say_is_not_flat() -> None:
    """A test for a slope that is not 0 would pass it."""
    random = np.random.default_rng(4)
    assert not verdict(list(random.normal(100, 60, 40)), 8, 0.05).flat


def test_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="at least 24 samples"):
        verdict([1.0] * 30, 3, 0)


def test_rows_and_page() -> None:
    samples = Samples()
    samples.memory_mb["server server_job"] = _series(40, 1)
    samples.descriptors["server server_job"] = [20.0] * 400
    samples.descriptors["server a process that ended"] = [20.0] * 10
    found = rows(samples)
    assert [(row["what"], row["flat"]) for row in found] == [("memory (MB)", False), ("file descriptors", True)]
    said = page(found, 8, 200)
    assert "1 of 2 series are flat" in said and "| memory (MB) | server server_job |" in said
