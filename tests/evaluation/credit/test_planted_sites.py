"""Bad hospitals planted among honest ones are found, each for what it is, and nobody else is."""

from typing import get_args

import numpy as np
import pytest

from fedvoxel.evaluation.credit.flags import Flag, flags_of
from fedvoxel.evaluation.planted import FreeRider, FreeRiding, with_copies, with_wrong_labels

from .hospitals import hospitals, looked_at

BAD, OTHER = "hospital-b", "hospital-d"


def _said(flags: tuple[Flag, ...]) -> set[tuple[str, tuple[str, ...]]]:
    return {(flag.kind, flag.sites) for flag in flags}


def test_honest_hospitals_are_not_flagged() -> None:
    assert _said(flags_of(looked_at(hospitals()))) == set()


def test_wrong_labels_are_found() -> None:
    sites = hospitals()
    sites[BAD] = with_wrong_labels(sites[BAD], 1.0, np.random.default_rng(0))
    assert _said(flags_of(looked_at(sites))) == {("harmful", (BAD,))}


def test_copied_cases_are_found_with_the_hospital_that_they_are_of() -> None:
    sites = hospitals()
    sites[BAD] = with_copies(sites[BAD], sites[OTHER])
    assert _said(flags_of(looked_at(sites))) == {("alike", (BAD, OTHER))}


@pytest.mark.parametrize("kind", get_args(FreeRiding))
def test_free_riders_are_found(kind: FreeRiding) -> None:
    rider = FreeRider(kind, np.random.default_rng(0))
    assert _said(flags_of(looked_at(hospitals(), {BAD: rider}, rounds=4))) == {("free rider", (BAD,))}
