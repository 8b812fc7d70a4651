import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.errors import CohortError
from fedvoxel.federation.cohort_statistics import merge_statistics
from fedvoxel.volumes.case_facts import INTENSITY_EDGES, CaseFacts, facts_of
from fedvoxel.volumes.disclosure import disclosed_counts, disclosed_part, disclosed_quantiles
from fedvoxel.volumes.hippocampus import hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.plan import PreprocessingPlan
from fedvoxel.volumes.statistics import site_statistics, summarise_facts
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.volumes.scans import CLASSES, csv_cohort, image_voxels, label_voxels, pairs_table, site_config


def facts(number: int, marked: int = 10) -> CaseFacts:
    affine = np.diag([-1.0 - 0.1 * number, 2.0, 3.0, 1.0])
    label = label_voxels()
    label[label == 2] = 2 if marked else 1
    return facts_of(LabelledVolume("case", Volume(image_voxels(seed=number), affine), label), CLASSES, "training")


# ------------------------------------------------------------------ disclosure


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=80), st.integers(1, 5))
def test_each_quantile_is_about_the_minimum_number_of_cases(values: list[float], minimum: int) -> None:
    quantiles = list(disclosed_quantiles(values, minimum).values())
    ordered = sorted(values)
    slack = 1e-5 * max(map(abs, values)) + 1e-9
    assert quantiles == sorted(quantiles)
    assert quantiles[0] >= np.mean(ordered[:minimum]) - slack
    assert quantiles[-1] <= np.mean(ordered[-minimum:]) + slack


def test_one_case_cannot_be_read_off_a_quantile() -> None:
    values = [1.0] * 20 + [1000.0]
    assert disclosed_quantiles(values, 5)["q95"] == pytest.approx((4 + 1000) / 5)
    with pytest.raises(ValueError, match="at least 5"):
        disclosed_quantiles(values[:4], 5)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"a": 30, "b": 8, "c": 12}, {"a": 30, "b": 8, "c": 12}),
        ({"a": 30, "b": 3, "c": 12}, {"a": 30, "b": None, "c": None}),
        ({"a": 30, "b": 3, "c": 4}, {"a": 30, "b": None, "c": None}),
        ({"a": 0, "b": 0, "c": 12}, {"a": 0, "b": 0, "c": 12}),
        ({"a": 30, "b": 3, "c": 0}, {"a": None, "b": None, "c": 0}),
        ({"a": 2, "b": 0, "c": 0}, {"a": None, "b": 0, "c": 0}),
    ],
)
def test_small_counts_are_suppressed_and_cannot_be_computed(
    counts: dict[str, int], told: dict[str, int | None]
) -> None:
    assert disclosed_counts(counts, 5) == told


def test_a_part_tells_of_its_rest() -> None:
    assert [disclosed_part(part, 20, 5) for part in (0, 4, 5, 15, 16, 20)] == [0, None, 5, 15, None, 20]


# ------------------------------------------------------------------ one site


def test_facts_are_those_after_reorientation() -> None:
    first = facts(5)
    assert first.spacing_mm == pytest.approx((1.5, 2.0, 3.0))
    assert first.voxels_per_class == {"anterior": 27, "posterior": 18}
    assert first.histogram.sum() == pytest.approx(1.0)
    assert len(first.histogram) == len(INTENSITY_EDGES) - 1
    swapped = np.array([[0, 2.0, 0, 0], [1.5, 0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    turned = facts_of(LabelledVolume("case", Volume(image_voxels(), swapped), label_voxels()), CLASSES, "test")
    assert turned.spacing_mm == pytest.approx((2.0, 1.5, 3.0))
    assert turned.shape == (11, 9, 7)


def test_intensities_outside_the_bins_are_in_the_end_bins() -> None:
    image = image_voxels() * np.float32(1e12)
    histogram = facts_of(LabelledVolume("case", Volume(image, np.eye(4)), label_voxels()), CLASSES, "test").histogram
    assert histogram[-1] == pytest.approx(1.0)


def test_below_the_minimum_only_that_is_sent() -> None:
    sent = summarise_facts([facts(number) for number in range(4)], Counter(unreadable=7), 5)
    assert sent == {"schema_version": 1, "minimum_cases": 5, "below_minimum": True}
    assert summarise_facts([], Counter(), 1)["below_minimum"]


def test_what_is_sent_holds_no_small_group() -> None:
    rare = [facts(number, marked=number) for number in range(3)] + [facts(number, 0) for number in range(3, 9)]
    sent = summarise_facts(rare, Counter(unreadable=2, truncated=6), 5)
    assert sent["cases"] == 9
    assert sent["cases_per_split"] == {"training": 9, "validation": 0, "test": 0}
    assert sent["refused_per_reason"] == {"unreadable": None, "truncated": 6}
    assert sent["classes"]["posterior"] == {"cases": None, "voxels": None}
    assert sent["classes"]["anterior"]["cases"] == 9
    assert sent["suppressed_cells"] == 3 + sent["histogram"]["shares"].count(None)


def test_bin_that_few_cases_fill_is_suppressed_and_cannot_be_computed() -> None:
    odd = facts_of(
        LabelledVolume("case", Volume(image_voxels() * np.float32(1000), np.eye(4)), label_voxels()), CLASSES, "test"
    )
    shares = summarise_facts([facts(number) for number in range(8)] + [odd], Counter(), 5)["histogram"]["shares"]
    assert None in shares
    assert sum(share for share in shares if share is not None) == pytest.approx(1.0, abs=1e-4)


def test_cohort_is_read_from_its_files(tmp_path: Path) -> None:
    pairs_table(tmp_path, 9)
    (tmp_path / "patient4_image.nii.gz").unlink()
    seen: list[tuple[int, int]] = []
    site = site_config(a=csv_cohort())
    sent = site_statistics(site, "a", None, tmp_path, progress=lambda *at: seen.append(at))
    assert seen[-1] == (9, 9)
    assert (sent["cases"], sent["refused_per_reason"]) == (8, {"missing_image": None})
    assert sent["shape"]["y"]["q50"] == 11
    text = json.dumps(sent, allow_nan=False)
    assert "patient" not in text
    assert str(tmp_path) not in text
    with pytest.raises(CohortError):
        site_statistics(site, "b", None, tmp_path)


# ------------------------------------------------------------------ sites and server together


def test_the_servers_plan_is_one_that_sites_accept(data_folder: Path, tmp_path: Path) -> None:
    sent: dict[str, Any] = {}
    for hospital, table in hippocampus_tables(data_folder, tmp_path).items():
        site = site_config(hippocampus=hippocampus_cohort(table))
        sent[hospital] = json.loads(json.dumps(site_statistics(site, "hippocampus", CLASSES, tmp_path)))
    summary = merge_statistics(sent)
    plan = PreprocessingPlan.model_validate(summary.plan)
    assert plan.spacing_mm is None
    assert plan.intensity.method == "zscore"
    assert summary.crop_size == (48, 56, 48)
    assert {name: site.cases for name, site in summary.sites.items()} == dict(zip(sent, (42, 66, 63, 25), strict=True))


def test_a_plan_with_a_spacing_is_one_that_sites_accept(tmp_path: Path) -> None:
    sent = {"a": summarise_facts([facts(number) for number in range(6)], Counter(), 5)}
    plan = PreprocessingPlan.model_validate(merge_statistics(sent).plan)
    assert plan.spacing_mm == pytest.approx((1.2, 2.0, 3.0), abs=0.11)
    assert plan.intensity.method == "range"
