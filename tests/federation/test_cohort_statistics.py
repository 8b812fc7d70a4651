import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.federation.cohort_statistics import CohortSummary, merge_statistics, parse_site_statistics


def quantiles(middle: float, spread: float = 0.0) -> dict[str, float]:
    return {
        name: middle * (1 + spread * step) for step, name in enumerate(("q05", "q25", "q50", "q75", "q95"), start=-2)
    }


def axes(values: tuple[float, float, float], spread: float = 0.0) -> dict[str, Any]:
    return {axis: quantiles(value, spread) for axis, value in zip("xyz", values, strict=True)}


def statistics(
    cases: int = 20,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shape: tuple[float, float, float] = (35.0, 50.0, 36.0),
    top: float = 1000.0,
    **changes: Any,
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "minimum_cases": 5,
        "below_minimum": False,
        "cases": cases,
        "cases_per_split": {"training": cases - 6, "validation": None, "test": None},
        "refused_per_reason": {"truncated": None},
        "spacing_mm": axes(spacing),
        "shape": axes(shape),
        "intensity": {name: quantiles(top * float(name[1:]) / 99.5) for name in ("p0.5", "p5", "p50", "p95", "p99.5")},
        "histogram": {"edges": [0.0, 1.0, 10.0, 100.0], "shares": [0.25, None, 0.75]},
        "classes": {"anterior": {"cases": cases, "voxels": quantiles(1500.0)}},
        "suppressed_cells": 4,
        **changes,
    }


BELOW = {"schema_version": 1, "minimum_cases": 5, "below_minimum": True}


def test_sites_of_one_spacing_keep_it() -> None:
    summary = merge_statistics({"a": statistics(), "b": statistics(spacing=(1.005, 1.0, 0.995))})
    assert summary.plan == {"orientation": "RAS", "spacing_mm": None, "intensity": {"method": "range"}}


def test_sites_of_different_spacing_get_the_median_of_their_medians() -> None:
    sent = {
        name: statistics(spacing=spacing)
        for name, spacing in (("a", (0.5, 0.5, 3.0)), ("b", (0.7, 0.7, 2.5)), ("c", (0.8, 0.6, 3.0)))
    }
    assert merge_statistics(sent).plan["spacing_mm"] == [0.7, 0.6, 3.0]


def test_one_site_of_unequal_spacing_gets_its_median() -> None:
    sent = {"a": statistics(spacing_mm=axes((1.0, 1.0, 2.0), spread=0.1))}
    assert merge_statistics(sent).plan["spacing_mm"] == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(("top", "method"), [(1900.0, "range"), (2100.0, "zscore"), (400.0, "zscore"), (0.0, "zscore")])
def test_intensity_method_follows_the_sites_scales(top: float, method: str) -> None:
    summary = merge_statistics({"a": statistics(), "b": statistics(top=top)})
    assert summary.plan["intensity"] == {"method": method}


@pytest.mark.parametrize(
    ("shape", "crop"),
    [
        ((35.0, 50.0, 36.0), (40, 56, 40)),
        ((40.0, 56.0, 8.0), (40, 56, 16)),
        ((512.0, 161.0, 20.0), (160, 160, 24)),
    ],
)
def test_crop_covers_the_volumes_in_steps_of_eight(
    shape: tuple[float, float, float], crop: tuple[int, int, int]
) -> None:
    assert merge_statistics({"a": statistics(shape=shape)}).crop_size == crop


def test_crop_counts_voxels_after_resampling() -> None:
    sent = {"a": statistics(spacing=(2.0, 1.0, 1.0)), "b": statistics(), "c": statistics()}
    summary = merge_statistics(sent)
    assert summary.plan["spacing_mm"] == [1.0, 1.0, 1.0]
    assert summary.crop_size == (72, 56, 40)


def test_order_of_arrival_does_not_matter() -> None:
    sent = {"a": statistics(7), "b": statistics(30, spacing=(2.0, 2.0, 2.0)), "c": BELOW, "d": {"wrong": 1}}
    merged = {merge_statistics(dict(order)).model_dump_json() for order in itertools.permutations(sent.items())}
    assert len(merged) == 1


def test_histogram_is_weighted_by_cases_and_keeps_what_all_suppress() -> None:
    other = {"edges": [0.0, 1.0, 10.0, 100.0], "shares": [0.5, None, None]}
    shares = merge_statistics({"a": statistics(10), "b": statistics(30, histogram=other)}).histogram.shares
    assert shares == [pytest.approx((10 * 0.25 + 30 * 0.5) / 40), None, pytest.approx(10 * 0.75 / 40)]


def test_sites_below_their_minimum_and_wrong_ones_are_named() -> None:
    summary = merge_statistics({"a": statistics(), "b": BELOW, "c": statistics(cases=0), "d": None})
    assert list(summary.sites) == ["a"]
    assert summary.below_minimum == ["b"]
    assert set(summary.refused) == {"c", "d"}
    assert "cases" in summary.refused["c"]
    assert len(summary.reasons) == 3
    assert CohortSummary.model_validate_json(summary.model_dump_json()) == summary


@pytest.mark.parametrize("sent", [{}, {"a": BELOW}, {"a": BELOW, "b": {"wrong": 1}}])
def test_without_a_site_there_is_no_plan(sent: dict[str, Any]) -> None:
    with pytest.raises(CohortError, match="no site has enough cases"):
        merge_statistics(sent)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"surplus": 1}, "surplus"),
        ({"cases": float("nan")}, "cases"),
        ({"cases": -1}, "cases"),
        ({"spacing_mm": axes((0.0, 1.0, 1.0))}, "spacing_mm.x"),
        ({"spacing_mm": axes((1.0, 1.0, 1.0), spread=-0.1)}, "spacing_mm.x"),
        ({"intensity": {"p50": quantiles(1.0)}}, "intensity"),
        ({"histogram": {"edges": [0.0, 1.0], "shares": [0.5, 0.5]}}, "histogram"),
        ({"histogram": {"edges": [1.0, 0.0], "shares": [0.5]}}, "histogram"),
        ({"histogram": {"edges": [0.0, 1.0], "shares": [1.5]}}, "histogram"),
        ({"classes": {"anterior": {"cases": 1}}}, "classes.anterior.voxels"),
        ({"cases_per_split": {"train": 1}}, "cases_per_split"),
    ],
)
def test_unexpected_statistics_are_refused_by_key(change: dict[str, Any], key: str) -> None:
    with pytest.raises(CohortError, match=f"hospital-a's cohort statistics is not valid: {key}"):
        parse_site_statistics(statistics(**change), "hospital-a")


def test_server_needs_no_imaging_library() -> None:
    code = (
        "import sys, fedvoxel.federation.cohort_statistics as c\n"
        "print([name for name in ('torch', 'nibabel', 'monai', 'scipy', 'fedvoxel.volumes') if name in sys.modules])"
    )
    source = Path(__file__).parents[2] / "app_custom"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
