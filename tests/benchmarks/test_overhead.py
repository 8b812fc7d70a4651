"""The pure parts of the overhead benchmark: dealing out the work, ratios and the text."""

import pytest

from benchmarks.overhead.pool import deal
from benchmarks.overhead.report import Measured, markdown, summarise

STAGES = {"rounds": 90.0, "outcome until FLARE says finished": 6.0}


def measured(pool: float, ours: float, stock: float, repeat: int = 0) -> list[Measured]:
    ours_values = {"seconds": ours, "outcome_s": ours - 6, "stages": STAGES}
    values = {"pool": {"seconds": pool, "ready_s": 5.0}, "ours": ours_values, "stock": {"seconds": stock}}
    machine = {"cpu_s": 2 * pool, "others_cpu_s": 1.0}
    return [Measured(system, 12, repeat, one | machine) for system, one in values.items()]


def test_work_is_dealt_out_as_evenly_as_can_be() -> None:
    groups = deal({"a": 33, "b": 47, "c": 45, "d": 19})
    assert sorted(sorted(group) for group in groups) == [["a", "c"], ["b", "d"]]


def test_ratios_are_those_of_the_medians() -> None:
    runs = measured(100, 110, 130) + measured(104, 108, 128, 1) + measured(300, 109, 129, 2)
    (row,) = summarise(runs)
    assert (row["pool_s"], row["ours_s"], row["stock_s"]) == (104, 109, 129)
    assert row["ours_ratio"] == pytest.approx(109 / 104)
    assert row["ours_outcome_ratio"] == pytest.approx(103 / 104)
    assert row["pool_without_start_s"] == 99


def test_the_text_says_honestly_whether_the_target_is_met() -> None:
    good = markdown(summarise(measured(100, 110, 130)), {"cores": 2})
    bad = markdown(summarise(measured(100, 130, 120)), {"cores": 2})
    assert "1.040 of the pool's time until the outcome, within 1.12" in good
    assert "1.100 until FLARE says finished, both below stock FLARE's 1.300" in good
    assert "1.240 of the pool's time until the outcome, above 1.12" in bad
    assert "1.300 until FLARE says finished, not both below stock FLARE's 1.200" in bad
