"""Orthanc's own pages in a real browser: Orthanc Explorer, and the Web Viewer that its button opens."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from tests.orthanc import PASSWORD, PLUGIN, USER, Orthanc

WEB_VIEWER = Path("/usr/share/orthanc/plugins/libOrthancWebViewer.so")
SIZE: Any = {"width": 1280, "height": 800}
HALF = 128
PATIENCE_S = 20.0

# The brightness of what is drawn at the middle of each pixel of the image: it is fitted into the canvas.
_DRAWN = """([rows, columns]) => {
    const canvas = document.querySelector('#dicomImage canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const scale = Math.min(canvas.width / columns, canvas.height / rows);
    const place = (size, count, index) => Math.floor((size - count * scale) / 2 + (index + 0.5) * scale);
    return [...Array(rows).keys()].map((row) => [...Array(columns).keys()].map((column) =>
        data[4 * (place(canvas.height, rows, row) * canvas.width + place(canvas.width, columns, column))]));
}"""


def orthanc_with_viewer(folder: Path) -> Orthanc:
    """An Orthanc with its Web Viewer, not started yet."""
    if not WEB_VIEWER.exists():
        pytest.fail("Orthanc's Web Viewer is missing: .ci/run installs it")
    plugins = [str(PLUGIN), str(WEB_VIEWER)]
    settings = {"Plugins": plugins, "WebViewer": {"CachePath": str(folder / "cache")}, "StableAge": 1}
    return Orthanc(folder, options=settings)


class Viewer:
    """Is a person at Orthanc's pages.

    Attributes:
        page: The page in the browser.
        alerts: What the browser had to say aloud.
    """

    def __init__(self, browser: Browser, orthanc: Orthanc) -> None:
        context = browser.new_context(viewport=SIZE, http_credentials={"username": USER, "password": PASSWORD})
        self._explorer, self._orthanc = context.new_page(), orthanc
        self.page = self._explorer
        self.alerts: list[str] = []
        context.on("page", self._listen)

    def open(self, series: str) -> None:
        """Opens a series in the Web Viewer, by Orthanc Explorer's own links and its yellow button."""
        page = self._explorer
        page.goto(f"http://127.0.0.1:{self._orthanc.http_port}/app/explorer.html")
        page.click("text=All studies")
        page.click("#all-studies a:visible")
        page.click(f"#list-series a:visible:has-text('{series}')")
        with page.expect_popup() as opened:
            page.click("a:visible:has-text('Orthanc Web Viewer')")
        self.page = opened.value
        self.page.wait_for_selector(f"#topright:has-text('{series}')")

    def explorer(self) -> Page:
        """Orthanc Explorer, as it was left."""
        return self._explorer

    def leaf(self, steps: int = 1) -> None:
        """Turns the wheel over the picture."""
        self.page.mouse.move(SIZE["width"] / 2, SIZE["height"] / 2)
        for _ in range(steps):
            self.page.mouse.wheel(0, 100)
            self.page.wait_for_timeout(20)

    def draws(self, expected: NDArray[np.bool_]) -> bool:
        """Whether each pixel (rows, columns) is as bright as expected, once the frame is fetched and drawn."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            drawn = np.array(self.page.evaluate(_DRAWN, list(expected.shape)), np.uint8)
            if np.array_equal(drawn >= HALF, expected):
                return True
            self.page.wait_for_timeout(50)
        return False

    def close(self) -> None:
        """Ends it."""
        self._explorer.context.close()

    def _listen(self, page: Page) -> None:
        def heard(dialog: Any) -> None:
            self.alerts.append(dialog.message)
            dialog.accept()

        page.on("dialog", heard)
