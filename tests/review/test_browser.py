"""A reader works through cases in a real browser: leaf, look, paint, undo, answer, close and go on."""

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Browser, Route

from tests.review.browser import Window, window_on
from tests.review.reading_sample import Page, desk_of, write_reading

CASE = "case-000000000000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_reading(tmp_path / "prepared")


@pytest.fixture
def server(folder: Path, tmp_path: Path) -> Page:
    return Page(desk_of(folder, tmp_path / "study"))


@pytest.fixture
def window(browser: Browser, server: Page) -> Iterator[Window]:
    opened = window_on(browser, server)
    yield opened
    assert opened.complaints == []
    assert [address for address in opened.addresses if not address.startswith((server.host, "blob:"))] == []
    opened.page.close()


def events(study: Path) -> list[dict]:
    (chain,) = study.rglob("events.jsonl")
    return [json.loads(line)["body"] for line in chain.read_text().splitlines()]


def test_leaf_with_wheel_and_keys_and_link_the_planes(window: Window) -> None:
    window.begin()
    assert window.slice("axial") == "13 / 24"
    window.page.mouse.move(*window.middle("axial"))
    window.page.mouse.wheel(0, -100)
    assert window.slice("axial") == "14 / 24"
    window.key("ArrowDown", "ArrowDown")
    assert window.slice("axial") == "12 / 24"
    window.key("End")
    assert window.slice("axial") == "24 / 24"
    window.key("x", "Home")
    assert window.slice("coronal") == "1 / 48"
    x, y = window.middle("axial")
    window.page.mouse.click(x, y)
    assert (window.slice("sagittal"), window.slice("coronal")) in {
        ("20 / 40", "24 / 48"),
        ("21 / 40", "25 / 48"),
        ("21 / 40", "24 / 48"),
        ("20 / 40", "25 / 48"),
    }
    before = window.slice("sagittal")
    window.key("Shift+ArrowRight")  # to the patient's left: an index less, counted from the left
    assert int(window.slice("sagittal").split()[0]) == int(before.split()[0]) - 1


def test_a_stroke_is_on_disk_before_the_window_is_closed(
    window: Window, browser: Browser, server: Page, tmp_path: Path
) -> None:
    window.begin()
    window.key("b")
    x, y = window.middle("axial")
    window.drag((x - 40, y - 40), (x, y - 60), (x + 40, y - 20))
    window.saved()
    volume = window.page.inner_text("#structures li:first-child .volume")
    window.drag((x, y), (x + 30, y))
    window.page.close(run_before_unload=False)  # in the middle of a correction
    painted = [event for event in events(tmp_path / "study") if event["kind"] == "painted"]
    assert 1 <= len(painted) <= 2 and painted[0]["stroke"]["plane"] == "axial"
    again = window_on(browser, server)
    again.begin()
    assert again.page.locator("#layers [aria-pressed=true]").inner_text() == "Corrected"
    while again.page.is_enabled("#undo") and again.page.inner_text("#structures li:first-child .volume") != volume:
        again.key("Control+z")
        again.page.wait_for_timeout(200)
    assert again.page.inner_text("#structures li:first-child .volume") == volume


def test_nothing_is_fetched_between_the_beginning_of_a_correction_and_its_first_stroke(window: Window) -> None:
    window.begin()
    window.page.wait_for_load_state("networkidle")
    before = len(window.addresses)
    window.key("b")
    x, y = window.middle("axial")
    window.drag((x - 40, y - 40), (x + 40, y - 20))
    window.page.wait_for_selector("#undo:enabled")
    asked = [address.split("/")[6:8] for address in window.addresses[before:]]
    assert asked[:3] == [["begin"], ["edit"], ["label", "corrected"]]


def test_paint_with_keys_alone_undo_and_redo(window: Window, tmp_path: Path) -> None:
    window.begin()
    window.key("s", "e", "]", " ")
    window.page.wait_for_selector("#undo:enabled")
    window.saved()
    window.key("Control+z")
    window.page.wait_for_selector("#redo:enabled")
    window.key("Control+Shift+Z")
    window.page.wait_for_selector("#redo:disabled")
    window.saved()
    kinds = [event["kind"] for event in events(tmp_path / "study") if event["kind"] not in ("visited", "spent")]
    assert kinds == ["begun", "painted", "undone", "redone"]
    (painted,) = [event["stroke"] for event in events(tmp_path / "study") if event["kind"] == "painted"]
    assert (painted["code"], painted["erase"], painted["radius_mm"]) == (2, True, 3.5)


def test_a_stroke_is_on_the_slice_and_of_the_structure_that_it_was_begun_with(window: Window, tmp_path: Path) -> None:
    window.begin()
    on_their_way: list[Route] = []
    window.page.route("**/image/axial/0.png*", lambda route: on_their_way.append(route))
    window.key("b", "Home")
    x, y = window.middle("axial")
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    assert window.slice("axial") == "1 / 24" and on_their_way
    for route in on_their_way:
        route.continue_()
    window.shows("axial", 0)
    window.key("s", "e", "]")
    window.page.mouse.move(x + 30, y)
    window.page.mouse.up()
    window.page.wait_for_selector("#undo:enabled")
    (stroke,) = [event["stroke"] for event in events(tmp_path / "study") if event["kind"] == "painted"]
    assert (stroke["index"], stroke["code"], stroke["erase"], stroke["radius_mm"]) == (12, 1, False, 3)


def test_what_is_painted_is_where_the_mouse_was(window: Window, server: Page, tmp_path: Path) -> None:
    window.begin()
    # A single voxel at the upper left of the axial slice: the patient's front right.
    window.key("Home", "b", "[", "[", "[", "[", "[")
    window.shows("axial", 0)
    x, y = window.middle("axial")
    window.page.mouse.click(x - 120, y - 150)
    window.saved()
    window.page.wait_for_selector("#undo:enabled")
    window.page.click("#verdicts [data-verdict=correct]")
    window.key("3", "t", "t", "a", "5")  # then the manual label map
    (stroke,) = [event["stroke"] for event in events(tmp_path / "study") if event["kind"] == "painted"]
    column, row = (int(place) for place in stroke["points"][0])
    window.page.wait_for_selector("#save:enabled")
    window.key("Control+Enter")
    window.page.wait_for_url(lambda url: CASE not in url)
    (corrected,) = (tmp_path / "study").rglob("corrected-*.nii.gz")
    image = nibabel.load(corrected)
    before = np.asarray(nibabel.load(tmp_path / "prepared" / CASE / "model.nii.gz").dataobj)
    (changed,) = np.argwhere(np.asarray(image.dataobj) != before)
    assert tuple(changed) == (column, row, 0)
    right, front, _ = nibabel.affines.apply_affine(image.affine, changed) - nibabel.affines.apply_affine(
        image.affine, (20, 24, 0)
    )
    assert right > 0 and front > 0


def test_answers_lead_through_the_worklist(window: Window) -> None:
    window.begin()
    assert window.page.is_disabled("#save")
    window.key("a", "4", "t", "r", "2")
    window.page.click("summary")
    window.page.check("#errors input[value=leak]")
    window.page.fill("#note", "the lower border is in the vessel; a and 5 are letters here")
    assert window.page.locator("#ratings [aria-pressed=true]").inner_text() == "2"
    window.key("Control+Enter")
    window.page.wait_for_url("**case-000000000001")
    window.wait()
    window.key("q")
    window.page.wait_for_selector("#cases tr")
    row = window.page.inner_text("#cases tr:first-child")
    assert "Done" in row and "Model: Accepted, Manual: Rejected" in row and "Model: 4, Manual: 2" in row
    assert window.page.inner_text("#done-text") == "1 of 3 done"
    window.page.click(f"a[href*={CASE}]")
    window.wait()
    assert window.page.input_value("#note").startswith("the lower border")


def test_which_is_better_is_not_chosen_beforehand(browser: Browser, folder: Path, tmp_path: Path) -> None:
    window = window_on(browser, Page(desk_of(folder, tmp_path / "blinded", blinded=True)))
    window.begin()
    for _ in range(2):
        window.key("a", "4", "t")
    chosen = window.page.locator("#preference input:checked")
    assert chosen.count() == 0 and window.page.is_disabled("#save")
    assert window.page.inner_text("#missing") == "Choose which is better, or Equal."
    window.page.click("#preference label:last-child")
    window.saved()
    address = window.page.url
    window.page.click("#worklist")
    window.page.goto(address)
    window.wait()
    assert chosen.input_value() == "" and window.page.is_enabled("#save")
    window.page.close()


def test_window_overlay_and_distance(window: Window) -> None:
    window.begin()
    low = float(window.page.input_value("#centre"))
    x, y = window.middle("axial")
    window.drag((x, y), (x, y + 60), button="right")
    assert float(window.page.input_value("#centre")) > low and window.page.input_value("#preset") == "own"
    window.key("w", "o")
    assert window.page.is_checked("[name=overlay][value=fill]")
    window.key("u")
    assert window.page.is_visible("#heat-legend")
    window.key("d")
    window.drag((x - 60, y), (x + 60, y))
    window.page.wait_for_selector("#unmeasure:enabled")
    window.key("Delete")
    window.page.wait_for_selector("#unmeasure:disabled")


def test_the_right_of_the_patient_is_drawn_on_the_left(browser: Browser, tmp_path: Path) -> None:
    folder = write_reading(tmp_path / "prepared", cases=1)
    path = folder / CASE / "image.nii.gz"
    image = nibabel.load(path)
    voxels = np.zeros(image.shape, dtype=np.float32)
    voxels[:20, :24, 12:] = 100.0  # LPS voxels: the patient's right, front and head
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path)
    window = window_on(browser, Page(desk_of(folder, tmp_path / "study")))
    window.begin()
    window.key("o", "o", "h")
    window.page.wait_for_timeout(300)
    quarters = """plane => {
        const canvas = document.querySelector(`#${plane} canvas`), pen = canvas.getContext('2d');
        const [w, h] = [canvas.width, canvas.height];
        const at = (x, y) => pen.getImageData(Math.round(w * x), Math.round(h * y), 1, 1).data[0] > 128;
        return [at(.4, .4), at(.6, .4), at(.4, .6), at(.6, .6)];
    }"""
    cursor = {"axial": "PageUp", "coronal": "PageUp", "sagittal": "PageUp"}
    for plane in cursor:
        window.page.focus(f"#{plane} canvas")
        window.key("PageUp")
    window.page.wait_for_timeout(500)
    for plane in cursor:
        assert window.page.evaluate(quarters, plane) == [True, False, False, False], plane


def test_a_program_that_ended_is_said_and_nothing_is_lost(window: Window, server: Page) -> None:
    window.begin()
    server.close()
    Page.opened.remove(server)
    window.key("b")
    window.page.mouse.click(*window.middle("axial"))
    window.page.wait_for_selector("#trouble:visible")
    assert "does not answer" in window.page.inner_text("#trouble")
    assert window.page.inner_text("#saved") == "Not saved"
    window.complaints.clear()


def test_a_case_that_cannot_be_shown_is_said_in_a_line(window: Window, folder: Path) -> None:
    (folder / "case-000000000002" / "manual.nii.gz").write_bytes(b"broken")
    window.page.click("a[href*=case-000000000002]")
    window.page.wait_for_selector("#trouble:visible")
    assert "NIfTI" in window.page.inner_text("#trouble")
    window.page.click("#worklist")
    window.page.wait_for_selector("#cases tr")
    window.complaints.clear()  # the browser itself notes the answer 422


def test_without_hardware_three_dimensions_are_not_offered(window: Window) -> None:
    window.begin()
    assert window.page.inner_text("#three") == "3-D off"
    window.page.click("#three")
    said = window.page.inner_text("#three-why")
    assert "in software" in said or "not installed" in said
