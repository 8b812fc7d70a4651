"""What `fedvoxel predict` writes is shown by the OHIF viewer where it was found: real viewer, real browser, real Orthanc.

Screenshots are kept in the folder that FEDVOXEL_ARTEFACTS names, else in pytest's own.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext
from pydicom import Dataset, dcmread

from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import open_model
from fedvoxel.evaluation.inference.run import Job, predict_study
from tests.evaluation.inference.bright_studies import (
    DIRECTIONS,
    bright_job,
    bright_slices,
    levels,
    only_study,
)
from tests.evaluation.inference.seg_places import places_in, places_of
from tests.orthanc import Orthanc
from tests.review.browser import chromium
from tests.volumes.site_pipeline import store

from .made_up_study import TRUTH, made_up_package, made_up_slices
from .ohif_package import ohif_pages
from .ohif_server import OhifServer
from .ohif_viewer import SIZE, OhifViewer

pytestmark = pytest.mark.slow

LABELS = {1: "anterior hippocampus", 2: "posterior hippocampus"}
EVEN = (9, 16, 11)
"""Slices, rows, columns; rows times columns is a multiple of 8."""
ODD = (9, 14, 11)
"""And here it is none."""


@dataclass(frozen=True)
class Lab:
    """Is the viewer beside its PACS, and where a test's files go."""

    context: BrowserContext
    url: str
    orthanc: Orthanc
    folder: Path

    def view(self, slices: Sequence[Dataset], job: Job) -> OhifViewer:
        """Predicts a study, stores images and results in the PACS, and opens the study in the viewer."""
        images = sorted(store(self.folder / "study", *slices).iterdir())
        outcome = predict_study(only_study(self.folder / "study"), job)
        self.orthanc.clear()
        self.orthanc.store([*images, *outcome.objects])
        return OhifViewer.on(self.context, self.url, slices[0].StudyInstanceUID)

    def written(self) -> Dataset:
        """The segmentation that was written."""
        (path,) = self.folder.rglob("segmentation.dcm")
        return dcmread(path)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc"), options={"StableAge": 1}) as running:
        yield running


@pytest.fixture(scope="module")
def viewer_at(
    orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrowserContext, str]]:
    """A browser, and the address of the viewer."""
    pages = ohif_pages(tmp_path_factory.mktemp("ohif"))
    with OhifServer(pages, orthanc) as server, chromium() as browser:
        context = browser.new_context(viewport=SIZE)
        yield context, server.url
        context.close()


@pytest.fixture
def lab(viewer_at: tuple[BrowserContext, str], orthanc: Orthanc, tmp_path: Path) -> Lab:
    return Lab(*viewer_at, orthanc, tmp_path)


def palette(job: Job) -> list[tuple[int, int, int]]:
    """The colours of the model's structures, as its description has them."""
    return [tuple(one.colour_rgb) for one in job.model.predictor.description.structures]


def assert_shown(viewer: OhifViewer, slices: Sequence[Dataset], codes: NDArray[np.uint8], job: Job) -> None:
    """The viewer's label map, and each pixel of each slice that it draws, are those of `codes`."""
    marked = viewer.labelled()
    assert marked == {LABELS[code]: places_of(slices, codes, code) for code in LABELS if (codes == code).any()}
    for index, (image, plane) in enumerate(zip(slices, codes, strict=True)):
        assert viewer.draws(image, plane, palette(job)), f"slice {index} is drawn otherwise"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_one_bit_is_shown_where_it_was_found_in_every_direction(lab: Lab, direction: str) -> None:
    codes, job = levels(EVEN), bright_job(lab.folder / "job")
    slices = bright_slices(direction, codes)
    viewer = lab.view(slices, job)
    viewer.open("segmentation")
    assert_shown(viewer, slices, codes, job)
    viewer.close()
