"""The benchmark's run is a real one with ten sites, and its report tells a straight line from a bent one."""

import pytest

from benchmarks.scale.report import asked, markdown, straightness
from benchmarks.scale.run import run
from benchmarks.scale.sites import layout


def test_ten_simulated_sites_run_to_the_end_and_are_measured() -> None:
    measured = run(10, 10_000, 2, {"name": "all"})
    assert measured["peak_mib"] >= measured["start_mib"] > 10
    assert measured["round_cpu_s"] > 0 and measured["outcome_bytes"] > 1000


def test_a_layout_has_about_the_parameters_that_were_asked_for() -> None:
    for parameters in (1_200_000, 5_000_000):
        values = sum(a * b * 27 for a, b, *_ in layout(parameters).values())
        assert values == pytest.approx(parameters, rel=0.02)


def test_a_straight_line_is_told_from_a_bent_one() -> None:
    sites = [10, 100, 300, 1000]
    assert straightness(sites, [0.01 * n for n in sites]) == pytest.approx((0.01, 1.0))
    assert straightness(sites, [1e-5 * n * n for n in sites])[1] < 0.97


def test_the_report_has_a_line_for_every_row_and_says_how_flat_it_is() -> None:
    row = {"parameters": 1_200_000, "rounds": 3, "selection": {"name": "all"}, "start_mib": 90.0}
    rows = [
        row | {"sites": n, "peak_mib": 100.0 + n / 100, "round_cpu_s": 0.01 * n, "outcome_bytes": 600 * n}
        for n in (10, 100, 1000)
    ]
    rows.append(rows[-1] | {"selection": {"name": "oort", "fraction": 0.1}})
    assert [asked(one) for one in rows] == [10, 100, 1000, 100]
    text = markdown(rows)
    assert "| 1.2 M | 1000 | 1000 | 90 | 110 | 10.00 | 10.0 | 600 |" in text
    assert "1.10 times that with 10; a round takes 10.0 ms" in text
