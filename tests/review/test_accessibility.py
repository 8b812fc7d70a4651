"""axe-core, from its package, finds no serious fault, and everything fits on a small screen."""

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Browser

from tests.review.browser import Window, window_on
from tests.review.reading_sample import Page, desk_of, write_reading

AXE = "axe-core/-/axe-core-4.14.1.tgz"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"

FOCUSED = """() => {
    const one = document.activeElement;
    const text = one.tagName === 'BUTTON' && one.textContent;
    const name = one.id || one.getAttribute('aria-label') || one.value || text || one.tagName;
    return [name, getComputedStyle(one).outlineStyle];
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core; the test is skipped where no package registry can be reached."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or "https://registry.npmjs.org/"
    try:
        with urllib.request.urlopen(registry.rstrip("/") + "/" + AXE, timeout=60) as answer:  # noqa: S310
            content = answer.read()
    except (URLError, OSError):
        pytest.skip("needs a package registry")
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == AXE_SHA512
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.fixture
def window(browser: Browser, tmp_path: Path) -> Window:
    return window_on(browser, Page(desk_of(write_reading(tmp_path / "prepared"), tmp_path / "study")))


def faults(window: Window, axe: str) -> list[str]:
    window.page.evaluate(axe)  # outside of the page's own policy
    found = window.page.evaluate(RUN)
    return [
        f"{fault['impact']} {fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical", "moderate")
    ]


def test_axe_finds_no_fault(window: Window, axe: str) -> None:
    assert faults(window, axe) == []
    window.begin()
    assert faults(window, axe) == []
    window.key("u", "y", "c", "4", "b")
    window.page.click("summary")
    window.page.mouse.click(*window.middle("axial"))
    window.page.wait_for_selector("#undo:enabled")
    assert faults(window, axe) == []
    window.key("?")
    assert faults(window, axe) == []
    window.key("Escape")
    window.page.click("#three")
    assert faults(window, axe) == []
    window.page.goto(f"{window.page.url.split('/three')[0].split('/case')[0]}/signed-out")
    assert faults(window, axe) == []


def test_axe_would_find_one(window: Window, axe: str) -> None:
    window.page.evaluate("document.querySelector('#continue').insertAdjacentHTML('afterend', '<button></button>')")
    assert any("button-name" in fault for fault in faults(window, axe))


def test_everything_fits_and_nothing_overlaps(window: Window) -> None:
    window.begin()
    window.key("u")
    outside = """() => [...document.querySelectorAll('button, input, select, textarea, summary, canvas, a')]
        .filter((one) => one.checkVisibility() && !one.closest('.controls, dialog'))
        .map((one) => [one.id || one.textContent, one.getBoundingClientRect()])
        .filter(([, box]) => box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight)
        .map(([name]) => name)"""
    assert window.page.evaluate(outside) == []
    sideways = """() => [...document.querySelectorAll('body, aside, .controls, #answer, main')]
        .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className || one.id)"""
    assert window.page.evaluate(sideways) == []
    # Where the panel has a scroll bar, and in a wider font, a row goes on in the next line.
    window.page.set_viewport_size({"width": 1024, "height": 600})
    window.page.evaluate("document.querySelector('.controls').style.fontSize = '17px'")
    assert window.page.evaluate(sideways) == []


def test_the_focus_can_be_seen_and_reaches_everything(window: Window) -> None:
    window.begin()
    window.page.evaluate("document.activeElement.blur()")
    reached: dict[str, str] = {}
    for _ in range(80):
        window.key("Tab")
        name, outline = window.page.evaluate(FOCUSED)
        if name == "BODY" or name in reached:
            break
        reached[name] = outline
    assert [name for name, outline in reached.items() if outline == "none"] == []
    assert {"preset", "centre", "opacity", "size", "note", "help-open"} <= set(reached)
    assert {"Accept", "Brush", "Model"} <= set(reached)


def test_single_keys_can_be_switched_off(window: Window) -> None:
    window.begin()
    window.key("?")
    window.page.uncheck("#single-keys")
    window.key("Escape", "b")
    assert window.page.locator("[data-tool=navigate]").get_attribute("aria-pressed") == "true"
    window.key("ArrowUp")
    assert window.slice("axial") == "14 / 24"
