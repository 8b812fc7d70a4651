"""NiiVue, from its package, shows scan and structures on their sides, in a real browser that draws in software."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route
from playwright.sync_api import Page as BrowserPage

from fedvoxel.errors import DownloadError
from fedvoxel.review.viewer_package import install_viewer, installed_viewer
from fedvoxel.volumes.nifti_writer import write_nifti
from tests.evaluation.reading.scans import affine_of
from tests.review import browser as thin_client
from tests.review.reading_sample import CODES, SPACING_MM, Page, ball, desk_of, write_reading

ARGUMENTS = [*thin_client.ARGUMENTS, "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LESION = [27, 18, 15]
"""Its middle in voxels: indices grow to the left, to the back and to the top."""

AXIAL, CORONAL, SAGITTAL = 0, 1, 2


LESION_MM = [float(value) for value in (affine_of(CODES, spacing_mm=SPACING_MM) @ [*LESION, 1])[:3]]


@pytest.fixture(scope="module")
def viewer() -> Path:
    """The viewer's script, installed as `fedvoxel review setup` does."""
    try:
        return installed_viewer() or install_viewer()
    except DownloadError:
        pytest.skip("needs a package registry")


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A browser that draws WebGL, slowly: the page is opened by its address, since it is not offered here."""
    monkeypatch.setattr(thin_client, "ARGUMENTS", ARGUMENTS)
    with thin_client.chromium() as started:
        yield started


def reading_with_one_side(folder: Path) -> Path:
    """A case whose lesion lies to the patient's left, in front, at the top."""
    write_reading(folder, 1)
    (case,) = folder.glob("case-*")
    label = ball((20, 24, 12), 14.0).astype(np.uint8)
    label[ball((LESION[0], LESION[1], LESION[2]), 4.0)] = 2
    (case / "manual.nii.gz").unlink()
    write_nifti(case / "manual.nii.gz", label, affine_of(CODES, spacing_mm=SPACING_MM))
    return folder


@pytest.fixture
def page(viewer: Path, drawing: Browser, tmp_path: Path) -> BrowserPage:
    """The open page; its own script lets the test at the viewer."""
    server = Page(desk_of(reading_with_one_side(tmp_path / "prepared"), tmp_path / "study"))
    window = thin_client.window_on(drawing, server)

    def seen(route: Route) -> None:
        script = route.fetch().text()
        assert "const viewer = new" in script
        route.fulfill(
            body=script.replace("viewer = new", "viewer = window.shown = new"), content_type="text/javascript"
        )

    window.page.route("**/static/three.js", seen)
    window.page.goto(f"{server.host}/three?case=case-000000000000&label=manual")
    window.page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
    assert window.complaints == []
    return window.page


def lesion_in(page: BrowserPage, tile: tuple[float, ...] | None = None) -> tuple[int, float, float]:
    """How many pixels show the lesion, and where their middle lies in the canvas or a tile: 0 to 1, down and right."""
    page.evaluate("() => { shown.drawScene(); return new Promise(requestAnimationFrame); }")
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"), float)
    left, top, width, height = tile or (0, 0, picture.shape[1], picture.shape[0])
    part = picture[int(top) : int(top + height), int(left) : int(left + width)]
    # Light and shade change how bright the colour is, and not which it is.
    found = np.argwhere(
        (part[..., 2] > 60) & (part[..., 2] > 1.15 * part[..., 1]) & (part[..., 2] > 1.8 * part[..., 0])
    )
    down, right = found.mean(axis=0) / part.shape[:2] if len(found) else (0.5, 0.5)
    return len(found), float(down), float(right)


@pytest.mark.slow
def test_structures_are_on_their_sides_in_three_planes(page: BrowserPage) -> None:
    page.click("[data-view=planes]")
    page.evaluate(
        "centre => { shown.opts.crosshairWidth = 0; shown.scene.crosshairPos = shown.mm2frac(centre); }", LESION_MM
    )
    found = {}
    for plane, tile in page.evaluate(
        "shown.screenSlices.map(one => [one.axCorSag, Array.from(one.leftTopWidthHeight)])"
    ):
        pixels, down, right = lesion_in(page, tile)
        assert pixels > 200
        found[plane] = (down < 0.5, right > 0.5)
    # As a radiologist looks at it: the patient's left is on the right, the front at the top, the nose on the left.
    assert found == {AXIAL: (True, True), CORONAL: (True, True), SAGITTAL: (True, False)}


@pytest.mark.slow
def test_the_volume_is_no_mirror_image(page: BrowserPage) -> None:
    page.evaluate("shown.opts.isOrientCube = false")  # it has a blue side
    seen = []
    for azimuth in (0, 180):
        page.evaluate("azimuth => shown.setRenderAzimuthElevation(azimuth, 0)", azimuth)
        seen.append(lesion_in(page))
    behind, before = sorted(seen)
    # Only from before it is seen; the organ hides it from behind.
    assert behind[0] < 0.2 * before[0]
    assert before[1] < 0.5 and before[2] > 0.5, "from before, the patient's left is on the right"
