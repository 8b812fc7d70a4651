"""No stroke is left behind: who saves, leaves or closes while strokes are on their way waits for them, or is warned."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Browser, Dialog

from fedvoxel.errors import ReviewError
from fedvoxel.review.open_case import OpenCase
from tests.review.browser import Window, window_on
from tests.review.reading_sample import Page, desk_of, write_reading

CASE = "case-000000000000"
SLOW_S = 0.7
STROKES = ((-120, -150), (0, -150), (120, -150))
"""From the middle of the plane, in pixels: outside of what the model marks."""


@pytest.fixture
def server(tmp_path: Path) -> Page:
    return Page(desk_of(write_reading(tmp_path / "prepared"), tmp_path / "study"))


@pytest.fixture
def window(browser: Browser, server: Page) -> Iterator[Window]:
    opened = window_on(browser, server)
    yield opened
    assert opened.complaints == []
    opened.page.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every edit takes its time at the server."""
    edit = OpenCase.edit

    def slow_edit(*arguments: object) -> object:
        time.sleep(SLOW_S)
        return edit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenCase, "edit", slow_edit)


def kinds(study: Path) -> list[str]:
    chain = study / "readers" / "anna" / CASE / "events" / "events.jsonl"
    told = [json.loads(line)["body"]["kind"] for line in chain.read_text().splitlines()]
    return [kind for kind in told if kind in ("painted", "answered")]


def answer(window: Window, verdict: str) -> None:
    """Says something of both label maps; the model's is looked at after it."""
    window.key(verdict, "4", "t", "a", "5", "t")


def paint(window: Window, *places: tuple[int, int]) -> None:
    x, y = window.middle("axial")
    for across, down in places:
        window.page.mouse.click(x + across, y + down)


@pytest.mark.usefixtures("slow")
def test_what_is_painted_quickly_is_in_the_answer(window: Window, tmp_path: Path) -> None:
    window.begin()
    answer(window, "c")
    window.key("Home")
    window.shows("axial", 0)
    paint(window, *STROKES)
    window.key("Control+Enter", "Control+Enter")
    window.page.wait_for_selector("#waiting:visible")
    paint(window, (0, 150))  # too late, and not half
    window.page.wait_for_url(lambda url: CASE not in url)
    assert kinds(tmp_path / "study") == ["painted"] * 3 + ["answered"]
    (corrected,) = (tmp_path / "study").rglob("corrected-*.nii.gz")
    before, after = (
        np.asarray(nibabel.load(path).dataobj) for path in (tmp_path / "prepared" / CASE / "model.nii.gz", corrected)
    )
    columns = np.argwhere(before != after)[:, 0]
    assert len(np.flatnonzero(np.diff(np.unique(columns)) > 1)) == 2, "expected three spots apart"


@pytest.mark.usefixtures("slow")
def test_a_stroke_under_the_hand_is_in_the_answer(window: Window, tmp_path: Path) -> None:
    window.begin()
    answer(window, "c")
    window.page.mouse.move(*window.middle("axial"))
    window.page.mouse.down()
    window.page.mouse.move(window.middle("axial")[0] - 120, window.middle("axial")[1] - 150)
    window.key("Control+Enter")
    window.page.wait_for_url(lambda url: CASE not in url)
    window.page.mouse.up()
    assert kinds(tmp_path / "study") == ["painted", "answered"]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("key", ["q", "n"])
def test_who_leaves_waits_for_what_was_painted(window: Window, tmp_path: Path, key: str) -> None:
    window.begin()
    window.key("b")
    paint(window, *STROKES)
    window.key(key)
    window.page.wait_for_selector("#waiting:visible")
    window.page.wait_for_url(lambda url: CASE not in url)
    assert kinds(tmp_path / "study") == ["painted"] * 3


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("waits", [False, True])
def test_who_closes_the_page_is_warned_while_something_is_unsent(window: Window, tmp_path: Path, waits: bool) -> None:
    window.begin()
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    window.page.on("dialog", accept)
    window.key("b")
    paint(window, *STROKES)
    while waits and kinds(tmp_path / "study") != ["painted"] * len(STROKES):
        window.page.wait_for_timeout(100)
    if waits:  # until the page has heard of it
        window.page.wait_for_function("() => dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    window.page.goto("about:blank")
    assert asked == ([] if waits else ["beforeunload"])


def test_a_stroke_that_fails_takes_the_later_ones_with_it_and_is_said(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, asked = OpenCase.edit, []

    def failing(*arguments: object) -> object:
        asked.append(1)
        time.sleep(SLOW_S)
        if len(asked) == 2:
            raise ReviewError("the second one fails")
        return edit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenCase, "edit", failing)
    window.begin()
    answer(window, "c")
    paint(window, *STROKES)
    window.key("Control+Enter")
    window.page.wait_for_selector("#trouble:has-text('What you painted last was not saved')")
    assert CASE in window.page.url and kinds(tmp_path / "study") == ["painted"]
    window.key("Control+Enter")  # without it, then
    window.page.wait_for_url(lambda url: CASE not in url)
    assert kinds(tmp_path / "study") == ["painted", "answered"] and len(asked) == 2
    window.complaints.clear()  # the browser itself notes the answer 422


def test_accept_leaves_nothing_painted_out(window: Window, tmp_path: Path) -> None:
    window.begin()
    answer(window, "a")
    window.page.wait_for_selector("#save:enabled")
    window.key("b")
    paint(window, STROKES[0])
    window.page.wait_for_selector("#save:disabled")
    said = "You painted on Model: choose Correct to save that, or Restart to discard it."
    assert window.page.inner_text("#missing") == said
    window.key("Control+Enter")
    window.page.on("dialog", lambda dialog: dialog.accept())
    window.page.click("#restart")
    window.page.wait_for_selector("#save:enabled")
    window.key("Control+Enter")
    window.page.wait_for_url(lambda url: CASE not in url)
    assert kinds(tmp_path / "study") == ["painted", "answered"]
    assert list((tmp_path / "study").rglob("corrected-*")) == []


def test_correct_needs_a_change(window: Window) -> None:
    window.begin()
    answer(window, "c")
    said = "Nothing of Model is corrected: use the brush on it, or choose another verdict."
    assert window.page.inner_text("#missing") == said and window.page.is_disabled("#save")
    paint(window, STROKES[0])
    window.page.wait_for_selector("#save:enabled")
    window.key("Control+z")
    window.page.wait_for_selector("#save:disabled")
    assert window.page.inner_text("#missing") == said


def test_what_was_painted_after_the_answer_is_in_the_worklist(window: Window) -> None:
    window.begin()
    answer(window, "a")
    window.page.wait_for_selector("#save:enabled")
    window.key("Control+Enter")
    window.page.wait_for_url(lambda url: CASE not in url)
    window.wait()
    window.key("p")
    window.page.wait_for_url(f"**{CASE}")
    window.wait()
    window.key("b")
    paint(window, STROKES[0])
    window.key("q")
    row = window.page.locator("#cases tr:first-child")
    row.wait_for()
    assert "Changed, not saved" in row.inner_text()
    assert window.page.inner_text("#done-text") == "0 of 3 done"
    assert str(window.page.get_attribute("#continue", "href")).endswith(CASE)
