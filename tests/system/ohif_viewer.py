"""A person at the OHIF viewer, in a real browser: opens a study and its segmentation, and looks at what is drawn.

What lies where is read back twice: from the label map that the viewer holds, in the patient's millimetres, and from the
picture on the screen, pixel by pixel.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Page
from pydicom import Dataset

from tests.evaluation.inference.seg_places import Places

SIZE: Any = {"width": 1280, "height": 800}
PATIENCE_S = 60.0
_FAINT = 12
"""Less difference between red, green and blue is grey."""

_VIEWPORT = """
    const shown = services.cornerstoneViewportService.getCornerstoneViewport(
        services.viewportGridService.getActiveViewportId());
"""
_HAS_OPENED = """() => services.segmentationService.getSegmentations().length > 0
    && services.segmentationService.getSegmentationRepresentations(
        services.viewportGridService.getActiveViewportId()).length > 0"""
_LEAF = f"""async (instance) => {{ {_VIEWPORT}
    await shown.setImageIdIndex(shown.getImageIds().findIndex((id) => id.includes(`/${{instance}}/`)));
    await new Promise((drawn) => {{
        shown.element.addEventListener(cornerstone.Enums.Events.IMAGE_RENDERED, drawn, {{ once: true }});
        shown.render();
    }});
}}"""
_COLOURS = f"""(places) => {{ {_VIEWPORT}
    const canvas = shown.getCanvas(), ratio = canvas.width / canvas.clientWidth;
    const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return places.map((place) => {{
        const [x, y] = shown.worldToCanvas(place).map((length) => Math.floor(length * ratio));
        return [...data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 3)];
    }});
}}"""
_SEGMENTS = f"""() => {{ {_VIEWPORT}
    const [held] = services.segmentationService.getSegmentations();
    return Object.values(held.segments).map(({{ segmentIndex, label }}) => [segmentIndex, label,
        services.segmentationService.getSegmentColor(shown.id, held.segmentationId, segmentIndex).slice(0, 3)]);
}}"""
# Of each voxel that has a label: its label, column, row, and what its image says of where it lies.
_LABEL_MAP = """() => services.segmentationService.getSegmentations()[0].representationData.Labelmap.imageIds.map(
(id) => {
    const image = cornerstone.cache.getImage(id), pixels = image.getPixelData();
    const { imagePositionPatient, imageOrientationPatient, rowPixelSpacing, columnPixelSpacing } =
        cornerstone.metaData.get('imagePlaneModule', image.referencedImageId);
    const found = [];
    pixels.forEach((label, at) => label && found.push([label, at % image.columns, Math.floor(at / image.columns)]));
    return { found, position: [...imagePositionPatient], orientation: [...imageOrientationPatient],
        spacing: [rowPixelSpacing, columnPixelSpacing] };
})"""


@dataclass
class Segment:
    """Is a segment as the viewer has it."""

    label: str
    colour_rgb: tuple[int, int, int]


@dataclass
class OhifViewer:
    """Is one page of the viewer.

    Attributes:
        page: The page in the browser.
        complaints: What it told its console.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def on(cls, context: BrowserContext, url: str, study: str) -> "OhifViewer":
        """Opens a study by its address."""
        viewer = cls(context.new_page())
        viewer._greeted()
        viewer.page.goto(f"{url}/viewer?StudyInstanceUIDs={study}")
        viewer._waits()
        return viewer

    @classmethod
    def from_list(cls, context: BrowserContext, url: str, patient: str) -> "OhifViewer":
        """Opens a patient's only study from the list of studies, as a person does."""
        viewer = cls(context.new_page())
        viewer._greeted()
        viewer.page.goto(url)
        viewer.page.click(f"text={patient}", timeout=1000 * PATIENCE_S)
        viewer.page.click("button:has-text('Basic Viewer')")
        viewer._waits()
        return viewer

    def choose(self, series: str) -> None:
        """Clicks twice on a series of the study that has no picture of its own."""
        self.page.dblclick(f"[data-cy=study-browser-thumbnail-no-image]:has-text('{series}')")

    def open(self, series: str) -> None:
        """Opens a segmentation over its image, and says yes to the viewer's question."""
        self.choose(series)
        self.page.click("[data-cy=yes-hydrate-btn]", timeout=1000 * PATIENCE_S)
        self.page.wait_for_function(_HAS_OPENED, timeout=1000 * PATIENCE_S)

    def complains(self, text: str) -> bool:
        """Whether it tells its console so, sooner or later."""
        return self._comes(lambda: any(text in one for one in self.complaints))

    def segments(self) -> dict[int, Segment]:
        """The segments of the segmentation that is open, by number."""
        found = self.page.evaluate(_SEGMENTS)
        return {number: Segment(label, tuple(colour)) for number, label, colour in found}

    def labelled(self) -> dict[str, Places]:
        """Segment label to the places (LPS millimetres, rounded) of the voxels that the viewer's label map marks."""
        segments, places = self.segments(), defaultdict(set)
        for plane in self.page.evaluate(_LABEL_MAP):
            along_row, along_column = np.reshape(plane["orientation"], (2, 3))
            down, across = plane["spacing"]
            for number, column, row in plane["found"]:
                place = plane["position"] + column * across * along_row + row * down * along_column
                places[segments[number].label].add(tuple(np.round(place, 2) + 0.0))
        return dict(places)

    def leaf(self, image: Dataset) -> None:
        """Turns to a slice."""
        self.page.evaluate(_LEAF, str(image.SOPInstanceUID))

    def colours(self, image: Dataset) -> NDArray[np.int64]:
        """What is drawn (rows, columns, red-green-blue) at the middle of each pixel of the slice that is turned to."""
        colours = self.page.evaluate(_COLOURS, middles(image).tolist())
        return np.array(colours).reshape(image.Rows, image.Columns, 3)

    def codes(self, image: Dataset, palette: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """Which colour of the palette each pixel of the slice has, counted from 1; 0 where it is grey."""
        colours, wanted = _hue(self.colours(image)), _hue(np.array(palette))
        nearest = 1 + np.argmax(colours @ wanted.T / np.linalg.norm(wanted, axis=1), axis=-1)
        return np.where(np.ptp(colours, axis=-1) < _FAINT, 0, nearest)

    def draws(self, image: Dataset, expected: NDArray[np.generic], palette: Sequence[Sequence[int]]) -> bool:
        """Turns to a slice; whether each of its pixels gets the colour of its code, once all is fetched and drawn."""
        self.leaf(image)
        return self._comes(lambda: np.array_equal(self.codes(image, palette), expected), 10.0)

    def shoot(self, path: Path) -> None:
        """Keeps a picture of the page."""
        self.page.mouse.move(SIZE["width"] - 5, SIZE["height"] - 5)
        self.page.screenshot(path=path)

    def listed(self) -> list[str]:
        """Opens the list of segments at the side, and returns the names that stand in it."""
        self.page.click("[data-cy=panelSegmentation-btn]")
        chosen = self.page.inner_text("[data-cy=segmentation-select-value]")
        return [chosen, *self.page.locator("[data-cy=data-row-title]").all_inner_texts()]

    def __enter__(self) -> "OhifViewer":
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def _greeted(self) -> None:
        """Listens to the console, and sends away what greets a newcomer, whenever it comes."""
        said, page = self.complaints, self.page
        page.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        for greeting in ("text=Skip all", "[data-cy=confirm-and-hide-button]"):
            # One greeting may lie over the other, so no mouse is moved.
            page.add_locator_handler(
                page.locator(greeting), lambda button: button.dispatch_event("click"), no_wait_after=True
            )

    def _waits(self) -> None:
        shown = "[data-cy=viewport-overlay-bottom-right]:has-text('I:')"
        self.page.wait_for_selector(shown, timeout=1000 * PATIENCE_S)

    def _comes(self, condition: Any, patience_s: float = PATIENCE_S) -> bool:
        deadline = time.monotonic() + patience_s
        while not (met := bool(condition())) and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        return met


def middles(image: Dataset) -> NDArray[np.float64]:
    """The places (pixels, LPS millimetres) of an image's pixels, row by row. Source: PS3.3 C.7.6.2.1.1."""
    along_row, along_column = np.reshape(np.array(image.ImageOrientationPatient, float), (2, 3))
    down, across = np.array(image.PixelSpacing, float)
    rows, columns = np.divmod(np.arange(image.Rows * image.Columns), image.Columns)
    origin = np.array(image.ImagePositionPatient, float)
    return origin + np.outer(columns * across, along_row) + np.outer(rows * down, along_column)


def _hue(colours: NDArray[np.int64]) -> NDArray[np.float64]:
    return colours - colours.mean(axis=-1, keepdims=True)
