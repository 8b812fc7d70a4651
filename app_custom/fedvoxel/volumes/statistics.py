"""Describes a site's cohort in numbers that are each about at least a minimum number of cases.

From these the consortium makes the preprocessing plan. A site with fewer usable cases than the minimum sends
only that it is below. See `disclosure` for what this does and does not promise.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.case_facts import INTENSITY_EDGES, PERCENTILES, CaseFacts, facts_of
from fedvoxel.volumes.disclosure import disclosed_counts, disclosed_part, disclosed_quantiles
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.split import SPLITS, split_of

MINIMUM_CASES = 5
_AXES = ("x", "y", "z")


def site_statistics(
    site: SiteConfig,
    cohort_name: str,
    classes: tuple[str, ...] | None,
    base: Path,
    minimum_cases: int = MINIMUM_CASES,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Reads a cohort and returns its statistics as JSON values, ready to be sent.

    Args:
        site: The site's own file.
        cohort_name: The cohort.
        classes: The job's classes, or None for all that the cohort has.
        base: The folder that relative paths in the site's file count from.
        minimum_cases: No number is about fewer cases than this.
        progress: Called with (done, total) after each case.

    Raises:
        CohortError: The cohort or a class is unknown, or the list of cases cannot be used.
    """
    cohort = site.cohort(cohort_name)
    wanted = cohort.classes_for(classes)
    listed = admitted_cases(site, cohort, base)
    facts: list[CaseFacts] = []
    refused: Counter[str] = Counter()
    for done, files in enumerate(listed, start=1):
        files.is_named_by_site(site)
        outcome = _facts(files, cohort, wanted)
        if isinstance(outcome, CaseFacts):
            facts.append(outcome)
        else:
            refused[outcome] += 1
        if progress is not None:
            progress(done, len(listed))
    return summarise_facts(facts, refused, minimum_cases)


def summarise_facts(facts: Sequence[CaseFacts], refused: Counter[str], minimum_cases: int) -> dict[str, Any]:
    """Returns the statistics of `facts`; see `site_statistics`."""
    below = len(facts) < max(minimum_cases, 1)
    head = {"schema_version": 1, "minimum_cases": minimum_cases, "below_minimum": below}
    if below:
        return head
    columns = {
        "spacing_mm": {axis: [case.spacing_mm[place] for case in facts] for place, axis in enumerate(_AXES)},
        "shape": {axis: [float(case.shape[place]) for case in facts] for place, axis in enumerate(_AXES)},
        "intensity": {
            f"p{percentile:g}": [case.percentiles[place] for case in facts]
            for place, percentile in enumerate(PERCENTILES)
        },
    }
    body: dict[str, Any] = {
        "cases": len(facts),
        "cases_per_split": disclosed_counts(
            {split: sum(case.split == split for case in facts) for split in SPLITS}, minimum_cases
        ),
        "refused_per_reason": {
            reason: count if count >= minimum_cases else None for reason, count in sorted(refused.items())
        },
        **{name: _quantiles(table, minimum_cases) for name, table in columns.items()},
        "histogram": {"edges": [float(f"{edge:.6g}") for edge in INTENSITY_EDGES], **_histogram(facts, minimum_cases)},
        "classes": {name: _class(facts, name, minimum_cases) for name in facts[0].voxels_per_class},
    }
    return {**head, **body, "suppressed_cells": _suppressed(body)}


def _facts(files: CaseFiles, cohort: CohortConfig, classes: tuple[str, ...]) -> CaseFacts | str:
    """Returns the facts of a case, or the reason why it is refused."""
    try:
        volume = read_labelled_volume(files, cohort, classes, "case")
    except GeometryError as error:
        return error.reason
    return facts_of(volume, classes, split_of(files.patient, cohort.split))


def _quantiles(table: dict[str, list[float]], minimum: int) -> dict[str, dict[str, float]]:
    return {name: disclosed_quantiles(values, minimum) for name, values in table.items()}


def _histogram(facts: Sequence[CaseFacts], minimum: int) -> dict[str, list[float | None]]:
    """Returns the mean share of voxels in each bin, None where too few cases have any.

    The shares are of what is shown and sum to 1, so that the suppressed rest cannot be computed from them.
    """
    shares = np.stack([case.histogram for case in facts])
    cases = np.count_nonzero(shares, axis=0)
    small = (cases > 0) & (cases < minimum)
    means = np.where(small, 0.0, shares.mean(axis=0))
    shown = means / max(means.sum(), np.finfo(float).tiny)
    return {"shares": [None if hide else float(f"{share:.6g}") for hide, share in zip(small, shown, strict=True)]}


def _class(facts: Sequence[CaseFacts], name: str, minimum: int) -> dict[str, Any]:
    """Returns in how many cases the class is marked, and the quantiles of its voxels there."""
    voxels = [float(case.voxels_per_class[name]) for case in facts if case.voxels_per_class[name] > 0]
    cases = disclosed_part(len(voxels), len(facts), minimum)
    return {"cases": cases, "voxels": disclosed_quantiles(voxels, minimum) if cases else None}


def _suppressed(value: Any) -> int:
    """Counts the suppressed numbers; a class without any case has none to suppress."""
    if isinstance(value, dict):
        if value.get("cases") == 0:
            return 0
        return sum(_suppressed(item) for item in value.values())
    if isinstance(value, list):
        return sum(_suppressed(item) for item in value)
    return 1 if value is None else 0
