"""A real browser on the review page, without a GPU, as a thin client has it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.review.reading_sample import Page as Server

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
SIZE = {"width": 1280, "height": 800}
WAIT_MS = 60_000


@dataclass
class Window:
    """Is a window of the browser, and what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Opens the first case that is not done."""
        self.page.click("#continue")
        self.wait()

    def wait(self) -> None:
        self.page.wait_for_selector("body[data-ready=yes]", timeout=WAIT_MS)

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def slice(self, plane: str) -> str:
        return self.page.inner_text(f"#{plane} .slice")

    def shows(self, plane: str, index: int) -> None:
        """Waits until a slice's picture is there."""
        self.page.wait_for_selector(f"#{plane} canvas[data-drawn='{index}']")

    def saved(self) -> None:
        """Waits until the server has kept what was done."""
        self.page.wait_for_selector("#saved:text-matches('^Saved')")

    def middle(self, plane: str) -> tuple[float, float]:
        box = self.page.locator(f"#{plane} canvas").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start: tuple[float, float], *ends: tuple[float, float], button: str = "left") -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down(button=button)  # type: ignore[arg-type]
        for end in ends:
            mouse.move(*end, steps=4)
        mouse.up(button=button)  # type: ignore[arg-type]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Starts the system's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def window_on(browser: Browser, server: Server, reader: str = "anna") -> Window:
    """Opens a window as `reader`, on the worklist."""
    page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
    window = Window(page)
    page.on("console", lambda said: window.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    page.on("request", lambda request: window.addresses.append(request.url))
    page.goto(f"{server.host}/enter?token={server.access.invite(reader)}")
    page.wait_for_selector("#cases tr")
    return window
