"""Views of a case: which side is where, in which proportions, with which outline."""

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fedvoxel.evaluation.cohorts.class_marks import class_marks
from fedvoxel.evaluation.cohorts.outlines import outline_of
from fedvoxel.evaluation.cohorts.slices import MARGIN_MM, MOST_PIXELS, Scan, View, shown_box, views_of
from fedvoxel.evaluation.cohorts.tile_layout import place_views
from fedvoxel.evaluation.cohorts.window import Window, window_of

WINDOW = Window(low=0.0, high=100.0, kind="percentiles")
SPACING = (1.0, 1.0, 3.0)


def scan(shape: tuple[int, int, int] = (20, 24, 10)) -> Scan:
    voxels = np.zeros(shape, np.float32)
    voxels[-3:, -4:, -2:] = 100.0  # right, front, top
    label = np.zeros(shape, np.uint8)
    label[-3:, -4:, -2:] = 1
    return Scan(voxels, label, SPACING, 2)


def pixels(view: View) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(view.webp))).convert("L"))


def middle(rings: tuple[tuple[tuple[float, float], ...], ...]) -> tuple[float, float]:
    points = np.array([point for ring in rings for point in ring])
    x, y = points.mean(axis=0)
    return float(x), float(y)


def test_the_patients_right_is_left_and_front_and_top_are_up() -> None:
    made = scan()
    axial, coronal, sagittal = views_of(made, shown_box(made), WINDOW)
    for view in (axial, coronal, sagittal):
        bright = np.argwhere(pixels(view) > 200)
        # What lies right, in front and on top is at the top left of each view.
        assert bright.mean(axis=0)[0] < view.rows / 2
        assert bright.mean(axis=0)[1] < view.columns / 2
        x, y = middle(view.outlines[0])
        assert x < view.columns / 2
        assert y < view.rows / 2
        assert view.outlines[1] == ()
    assert [view.sides for view in (axial, coronal, sagittal)] == ["RLAP", "RLSI", "APSI"]
    assert (axial.index, axial.slices) == (9, 10)


def test_views_keep_physical_proportions() -> None:
    made = scan()
    axial, coronal, sagittal = views_of(made, shown_box(made), WINDOW)
    assert (axial.width_mm, axial.height_mm) == (20.0, 24.0)
    assert (coronal.width_mm, coronal.height_mm) == (20.0, 30.0)
    assert (sagittal.width_mm, sagittal.height_mm) == (24.0, 30.0)
    places = place_views((axial, coronal, sagittal), 720.0, 330.0)
    assert len({round(place.width / place.view.width_mm, 6) for place in places}) == 1
    assert len({round(place.height / place.view.height_mm, 6) for place in places}) == 1
    assert max(place.left + place.width for place in places) <= 720.0


def test_a_small_structure_is_shown_close_up_with_an_overview() -> None:
    made = Scan(np.zeros((400, 400, 100), np.float32), np.zeros((400, 400, 100), np.uint8), SPACING, 1)
    made.label[200:210, 300:310, 50:52] = 1
    box = shown_box(made)
    assert box == ((180, 230), (280, 330), (43, 59))
    *close, overview = views_of(made, box, WINDOW)
    assert [view.width_mm for view in close] == [10 + 2 * MARGIN_MM] * 3
    assert overview.frame == (170, 70, 220, 120)  # from the patient's right and front
    assert max(pixels(overview).shape) < MOST_PIXELS
    left, top, right, bottom = overview.frame
    x, y = middle(overview.outlines[0])
    assert left < x < right
    assert top < y < bottom


def test_very_large_slices_are_thinned_and_keep_their_place() -> None:
    made = Scan(np.zeros((1000, 900, 4), np.float32), np.ones((1000, 900, 4), np.uint8), (0.2, 0.2, 5.0), 1)
    axial = views_of(made, shown_box(made), WINDOW)[0]
    assert pixels(axial).shape == (MOST_PIXELS, MOST_PIXELS)
    assert (axial.columns, axial.rows, axial.width_mm) == (1000, 900, pytest.approx(200.0))


def test_an_outline_follows_pixels_borders_holes_and_edges() -> None:
    mask = np.zeros((6, 7), bool)
    mask[0:4, 0:5] = True
    mask[1:3, 2] = False
    rings = outline_of(mask)
    assert len(rings) == 2
    outer = max(rings, key=len)
    assert {min(x for x, _ in outer), min(y for _, y in outer)} == {0.0}
    assert (max(x for x, _ in outer), max(y for _, y in outer)) == (5.0, 4.0)
    assert outline_of(np.zeros((3, 3), bool)) == ()


# ------------------------------------------------------------------ windows, marks


def test_ct_has_the_window_of_what_is_marked() -> None:
    voxels = np.full((8, 8, 8), -1000.0, np.float32)
    voxels[4:] = 40.0
    inside = np.zeros(voxels.shape, bool)
    inside[4:] = True
    for value, kind in ((40.0, "soft tissue"), (-700.0, "lung"), (600.0, "bone")):
        voxels[4:] = value
        assert window_of(voxels, inside, voxels, "CT").kind == kind
    # Not said to be CT, but air is at -1000 and all numbers are whole.
    assert window_of(voxels, inside, voxels, None).kind == "bone"
    assert window_of(voxels, inside, voxels, "MR").kind == "percentiles"
    assert window_of(voxels + np.float32(0.5), inside, voxels, None).kind == "percentiles"


def test_a_window_of_one_value_is_still_one() -> None:
    flat = np.full((4, 4, 4), 7.0, np.float32)
    window = window_of(flat, flat > 100, flat, None)
    assert window.low < window.high


def test_marks_say_how_much_in_how_many_pieces_and_at_which_border() -> None:
    label = np.zeros((10, 10, 10), np.uint8)
    label[7:, 4:6, 4:6] = 1
    label[1:3, 1:3, 1:3] = 1
    label[4, 4, 0] = 2
    first, second, third = class_marks(label, ("a", "b", "c"), (1.0, 2.0, 5.0))
    assert (first.voxels, first.pieces, first.borders) == (20, 2, ("right",))
    assert first.millilitres == pytest.approx(0.2)
    assert second.borders == ("bottom",)
    assert (third.voxels, third.pieces, third.borders) == (0, 0, ())
