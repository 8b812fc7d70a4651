"""A study of 150 slices of 512 x 512 in a browser without a GPU: what each thing that a reader does takes.

The figures are printed (pytest -s), and not asserted: they are the machine's, and what else it does.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from fedvoxel.volumes.nifti_writer import write_nifti
from tests.evaluation.reading.scans import affine_of
from tests.review.browser import Window, window_on
from tests.review.reading_sample import Page, desk_of, structure

CASE = "case-000000000000"
SHAPE = (512, 512, 150)
SPACING_MM = (0.75, 0.75, 3.0)
TRIES = 7

# From an event until the canvas was drawn anew, as the page's own clock has it.
WATCH = """() => {
    window.drawn = [];
    const seen = new MutationObserver(() => window.drawn.push(performance.now()));
    for (const canvas of document.querySelectorAll('.plane canvas')) seen.observe(canvas, {attributes: true});
    addEventListener('keydown', () => { window.begun = performance.now(); window.drawn = []; }, true);
    addEventListener('pointerup', () => { window.begun = performance.now(); window.drawn = []; }, true);
}"""
TOOK = "() => window.drawn.length ? Math.max(...window.drawn) - window.begun : null"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom as a CT has it: noise, an organ and a lesion in it."""
    root = tmp_path_factory.mktemp("large")
    (root / CASE).mkdir()
    x, y, z = np.ogrid[-1:1:512j, -1:1:512j, -1:1:150j]
    label = (((x - 0.3) / 0.42) ** 2 + ((y - 0.1) / 0.38) ** 2 + (z / 0.6) ** 2 < 1).astype(np.uint8)
    label[((x - 0.25) / 0.08) ** 2 + ((y - 0.2) / 0.08) ** 2 + ((z - 0.1) / 0.12) ** 2 < 1] = 2
    image = np.where((x / 0.85) ** 2 + (y / 0.62) ** 2 < 1, 40.0, -1000.0) + 50.0 * (label > 0)
    image = np.rint(image + np.random.default_rng(0).normal(0, 8, SHAPE)).astype(np.float32)
    unsure = np.clip(1.0 - np.abs(x + y + z), 0, 1).astype(np.float32)
    affine = affine_of("LPS", spacing_mm=SPACING_MM)
    for name, voxels in (("image", image), ("model", label), ("unsure", unsure)):
        write_nifti(root / CASE / f"{name}.nii.gz", voxels, affine)
    listed = {"case": CASE, "image": f"{CASE}/image.nii.gz", "labels": {"model": f"{CASE}/model.nii.gz"}}
    listed |= {"uncertainty": f"{CASE}/unsure.nii.gz", "modality": "CT"}
    structures = [structure("liver", (255, 170, 60)), structure("lesion", (255, 90, 120))]
    values = {"schema_version": 1, "title": "Large", "structures": structures, "cases": [listed]}
    (root / "reading.json").write_text(json.dumps(values))
    return root


def took_ms(window: Window, act: Callable[[], None]) -> list[float]:
    found = []
    for _ in range(TRIES):
        act()
        window.page.wait_for_timeout(700)
        found.append(window.page.evaluate(TOOK))
    return [value for value in found if value is not None]


@pytest.mark.slow
@pytest.mark.parametrize("prefetched", [False, True])
def test_the_first_picture_and_every_act_of_a_large_study(
    browser: Browser, folder: Path, tmp_path: Path, prefetched: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = desk_of(folder, tmp_path / "study")
    window = window_on(browser, Page(desk))
    if prefetched:  # as the command does for each reader's first case, and the page for the next
        desk.prefetch(CASE)
        desk._loaded(CASE)
    begun = time.monotonic()
    window.begin()
    first_s = time.monotonic() - begun
    window.page.evaluate(WATCH)
    key = window.page.keyboard.press
    acts: dict[str, Callable[[], None]] = {
        "next slice": lambda: key("ArrowUp"),
        "ten slices on": lambda: key("PageDown"),
        "crosshair in the plane": lambda: key("Shift+ArrowLeft"),
        "next window": lambda: key("w"),
        "outline, filled, off": lambda: key("o"),
        "uncertainty": lambda: key("u"),
        "zoom": lambda: key("+"),
    }
    figures = {name: took_ms(window, act) for name, act in acts.items()}
    key("b")
    x, y = window.middle("axial")
    figures["stroke until it is saved and drawn"] = took_ms(window, lambda: window.drag((x, y), (x + 30, y + 10)))
    figures["undo"] = took_ms(window, lambda: key("Control+z"))
    lines = [f"512 x 512 x 150, loaded before: {prefetched}; first picture {first_s:.2f} s"]
    for name, values in figures.items():
        lines.append(f"  {name}: median {np.median(values):.0f} ms, largest {max(values):.0f} ms of {len(values)}")
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert window.complaints == []
    assert all(figures.values())
