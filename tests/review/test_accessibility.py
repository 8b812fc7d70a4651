"""axe-core, from its package, finds no serious fault, and everything fits on a small screen."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.axe import axe_script, faults_of
from tests.review.browser import Window, window_on
from tests.review.reading_sample import Page, desk_of, write_reading

FOCUSED = """() => {
    const one = document.activeElement;
    const text = one.tagName === 'BUTTON' && one.textContent;
    const name = one.id || one.getAttribute('aria-label') || one.value || text || one.tagName;
    return [name, getComputedStyle(one).outlineStyle];
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core; the test is skipped where no package registry can be reached."""
    return axe_script()


@pytest.fixture
def window(browser: Browser, tmp_path: Path) -> Window:
    return window_on(browser, Page(desk_of(write_reading(tmp_path / "prepared"), tmp_path / "study")))


def faults(window: Window, axe: str) -> list[str]:
    return faults_of(window.page, axe)


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
