"""What `fedvoxel predict` writes is shown by the OHIF viewer where it was found: viewer, browser and Orthanc are real.

Screenshots are kept in the folder that FEDVOXEL_ARTEFACTS names, else in pytest's own.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext
from pydicom import Dataset, dcmread

from fedvoxel.cli.main import main
from fedvoxel.dicom.viewer_limits import viewer_remarks
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
from tests.evaluation.inference.command import root_file
from tests.evaluation.inference.seg_places import places_in, places_of
from tests.orthanc import Orthanc
from tests.review.browser import chromium
from tests.volumes.site_pipeline import store

from .made_up_study import TRUTH, made_up_package, made_up_slices
from .ohif_package import ohif_pages
from .ohif_server import OhifServer
from .ohif_viewer import SIZE, OhifViewer, Segment

pytestmark = pytest.mark.slow

FOUND = "hippocampus 1.0.0 segmentation, research use only"
LABELS = {1: "anterior hippocampus", 2: "posterior hippocampus"}
EVEN, ODD = (9, 16, 11), (9, 14, 11)
"""Slices, rows, columns; rows times columns is a multiple of 8 in the first, and none in the second."""
MIDDLE = 12
"""A slice of the made-up study with both structures."""


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
def viewer_at(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrowserContext, str]]:
    """A browser, and the address of the viewer."""
    pages = ohif_pages(tmp_path_factory.mktemp("ohif"))
    with OhifServer(pages, orthanc) as server, chromium() as browser:
        context = browser.new_context(viewport=SIZE)
        yield context, server.url
        context.close()


@pytest.fixture
def lab(viewer_at: tuple[BrowserContext, str], orthanc: Orthanc, tmp_path: Path) -> Lab:
    return Lab(*viewer_at, orthanc, tmp_path)


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get("FEDVOXEL_ARTEFACTS") or tmp_path / "artefacts") / "ohif"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def palette(job: Job) -> list[tuple[int, int, int]]:
    """The colours of the model's structures, as its description has them."""
    return [tuple(one.colour_rgb) for one in job.model.predictor.description.structures]


def assert_written(lab: Lab, slices: Sequence[Dataset], codes: NDArray[np.uint8]) -> None:
    """By another reader than the viewer, the segmentation is right."""
    found = {LABELS[code]: places_of(slices, codes, code) for code in LABELS if (codes == code).any()}
    assert places_in(lab.written()) == found


def assert_shown(viewer: OhifViewer, slices: Sequence[Dataset], codes: NDArray[np.uint8], job: Job) -> None:
    """The viewer's label map, and each pixel of each slice that it draws, are those of `codes`."""
    assert viewer.labelled() == {
        LABELS[code]: places_of(slices, codes, code) for code in LABELS if (codes == code).any()
    }
    for index, (image, plane) in enumerate(zip(slices, codes, strict=True)):
        assert viewer.draws(image, plane, palette(job)), f"slice {index} is drawn otherwise"


def one_structure(shape: Sequence[int]) -> NDArray[np.uint8]:
    """The second structure alone; it is named first in no list of the viewer's, and has a frame on each slice."""
    codes = levels(shape)
    return np.where(codes == 2, 2, 0).astype(np.uint8)


def assert_the_image_is_as_bright(viewer: OhifViewer, slices: Sequence[Dataset], codes: NDArray[np.uint8]) -> None:
    """Before a segmentation is opened: the picture itself has its structures where `codes` says."""
    for index in range(0, len(slices), 3):
        viewer.leaf(slices[index])
        drawn, plane = viewer.colours(slices[index]).mean(axis=-1), codes[index]
        limits = [(drawn[plane == code].min(), drawn[plane == code].max()) for code in range(3)]
        assert limits[0][1] < limits[1][0] and limits[1][1] < limits[2][0], f"slice {index} of the image"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_one_bit_is_shown_where_it_was_found_in_every_direction(lab: Lab, direction: str) -> None:
    codes, job = levels(EVEN), bright_job(lab.folder / "job")
    slices = bright_slices(direction, codes)
    with lab.view(slices, job) as viewer:
        assert_the_image_is_as_bright(viewer, slices, codes)
        viewer.open(FOUND)
        assert lab.written().BitsAllocated == 1 and viewer_remarks(lab.written()) == ()
        assert_shown(viewer, slices, codes, job)


@pytest.mark.parametrize("direction", ["axial", "reversed", "twice oblique"])
def test_eight_bits_are_shown_where_they_were_found_whatever_the_size(lab: Lab, direction: str) -> None:
    codes, job = levels(ODD), replace(bright_job(lab.folder / "job"), eight_bit=True)
    slices = bright_slices(direction, codes)
    with lab.view(slices, job) as viewer:
        viewer.open(FOUND)
        assert lab.written().BitsAllocated == 8
        assert_shown(viewer, slices, codes, job)


@pytest.mark.parametrize(("eight_bit", "shape"), [(False, (6, 8, 23)), (True, (6, 8, 23)), (True, (5, 9, 11))])
def test_one_structure_alone_on_images_wider_than_high(lab: Lab, eight_bit: bool, shape: tuple[int, ...]) -> None:
    """The last has an odd number of bytes, and OHIF has to ask the PACS for each frame."""
    codes, job = one_structure(shape), replace(bright_job(lab.folder / "job"), eight_bit=eight_bit)
    slices = bright_slices("axial", codes)
    with lab.view(slices, job) as viewer:
        viewer.open(FOUND)
        assert [one.label for one in viewer.segments().values()] == [LABELS[2]]
        assert viewer_remarks(lab.written()) == ()
        assert_shown(viewer, slices, codes, job)


def test_a_single_frame_of_one_bit_is_shown_whatever_its_size(lab: Lab) -> None:
    codes, job = np.zeros(ODD, np.uint8), bright_job(lab.folder / "job")
    codes[4] = one_structure(ODD)[4]
    slices = bright_slices("axial", codes)
    with lab.view(slices, job) as viewer:
        viewer.open(FOUND)
        assert lab.written().NumberOfFrames == 1 and viewer_remarks(lab.written()) == ()
        assert_shown(viewer, slices, codes, job)


def test_names_and_colours_of_what_the_command_wrote_are_the_models_own(lab: Lab, artefacts: Path) -> None:
    package, slices = made_up_package(lab.folder / "made"), made_up_slices()
    job = Job(open_model(package, MemoryBound(4096), threads=1), lab.folder / "unused")
    images = store(lab.folder / "study", *slices)
    asked = ["predict", str(package.path), str(images), "--root", str(root_file(lab.folder)), "--eight-bit"]
    assert main([*asked, "--out", str(lab.folder / "out")]) == 0
    lab.orthanc.clear()
    lab.orthanc.store([*sorted(images.iterdir()), *lab.folder.glob("out/*/*.dcm")])
    with OhifViewer.from_list(lab.context, lab.url, "Madeup, Phantom") as viewer:
        viewer.open(FOUND)
        wanted = dict(zip(LABELS, map(Segment, LABELS.values(), palette(job)), strict=True))
        assert viewer.segments() == wanted
        assert viewer.listed() == [FOUND, *LABELS.values()]
        assert_shown(viewer, slices, TRUTH, job)
        viewer.leaf(slices[MIDDLE])
        viewer.shoot(artefacts / "ohif.png")


def test_one_bit_of_another_size_is_misplaced_by_the_viewer(lab: Lab) -> None:
    """The viewer's fault, as fedvoxel.dicom.viewer_limits says. If this fails, OHIF has learnt it, and that can go."""
    codes, job = levels((8, 14, 11)), bright_job(lab.folder / "job")
    slices = bright_slices("axial", codes)
    with lab.view(slices, job) as viewer:
        viewer.open(FOUND)
        assert_written(lab, slices, codes)
        assert "misplaces" in viewer_remarks(lab.written())[0]
        right, marked = places_in(lab.written()), viewer.labelled()
        assert all(len(marked[label] & places) < len(places) / 2 for label, places in right.items())
        assert not viewer.draws(slices[1], codes[1], palette(job))


@pytest.mark.parametrize(("shape", "said"), [(ODD, "calculated length"), ((5, 8, 23), "Invalid frame length")])
def test_one_bit_with_an_odd_number_of_bytes_is_not_opened_by_the_viewer(
    lab: Lab, shape: tuple[int, ...], said: str
) -> None:
    """The viewer's fault too: it does not expect the byte that makes the number even, and then Orthanc cuts no bits."""
    codes, job = one_structure(shape), bright_job(lab.folder / "job")
    if shape == ODD:
        codes = levels(shape)
    slices = bright_slices("axial", codes)
    with lab.view(slices, job) as viewer:
        viewer.choose(FOUND)
        assert viewer.complains(said) and viewer.complains("failed to load")
        assert not viewer.page.is_visible("[data-cy=yes-hydrate-btn]")
        assert "does not open" in viewer_remarks(lab.written())[0]
        assert_written(lab, slices, codes)
