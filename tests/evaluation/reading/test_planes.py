"""Planes stand as radiologists read them, on the scan's own grid, whatever its axes are."""

import itertools

import nibabel
import numpy as np
import pytest

from fedvoxel.evaluation.reading.planes import displayed, length_mm, planes_of, slice_of
from fedvoxel.volumes.volume import Volume
from tests.evaluation.reading.scans import affine_of, scan

ORIENTATIONS = [
    "".join(signs[axis][flip[axis]] for axis in order)
    for order in itertools.permutations(range(3))
    for flip in itertools.product((0, 1), repeat=3)
    for signs in (("RL", "AP", "SI"),)
]


def centre_of(volume: Volume, plane_name: str, index: int, row: int, column: int) -> np.ndarray:
    """Finds in the scan itself the voxel that a picture shows, and returns where it is in the patient (RAS, mm)."""
    plane = next(plane for plane in planes_of(volume) if plane.name == plane_name)
    value = slice_of(displayed(volume.voxels, volume.affine), plane, index)[row, column]
    (place,) = np.argwhere(volume.voxels == value)
    return nibabel.affines.apply_affine(volume.affine, place)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_right_is_on_the_left_and_head_and_front_are_on_top(codes: str) -> None:
    volume = scan(codes, spacing_mm=(1.0, 2.0, 3.0))
    for name, across, down in (("axial", 0, 1), ("coronal", 0, 2), ("sagittal", 1, 2)):
        corner = centre_of(volume, name, 1, 0, 0)
        to_the_right = centre_of(volume, name, 1, 0, 1) - corner
        downwards = centre_of(volume, name, 1, 1, 0) - corner
        onwards = centre_of(volume, name, 2, 0, 0) - corner
        axis = {"axial": 2, "coronal": 1, "sagittal": 0}[name]
        assert to_the_right[across] < 0 and np.count_nonzero(to_the_right) == 1
        assert downwards[down] < 0 and np.count_nonzero(downwards) == 1
        assert onwards[axis] > 0 and np.count_nonzero(onwards) == 1


def test_sides_sizes_and_steps_of_an_anisotropic_scan() -> None:
    planes = {plane.name: plane for plane in planes_of(scan("LPS", spacing_mm=(0.5, 0.75, 3.0)))}
    assert (planes["axial"].columns, planes["axial"].rows, planes["axial"].slices) == (9, 7, 5)
    assert (planes["sagittal"].columns, planes["sagittal"].rows, planes["sagittal"].slices) == (7, 5, 9)
    assert planes["axial"].sides == ("R", "L", "A", "P")
    assert planes["coronal"].sides == ("R", "L", "S", "I")
    assert planes["sagittal"].sides == ("A", "P", "S", "I")
    assert planes["coronal"].metric_mm2 == pytest.approx((0.25, 0.0, 9.0))
    assert {plane.tilt_degrees for plane in planes.values()} == {0.0}


def test_an_oblique_scan_keeps_its_grid_and_says_where_its_sides_point() -> None:
    volume = scan("RAS", turn_degrees=30.0)
    axial, coronal, _ = planes_of(volume)
    assert axial.sides == ("RA", "LP", "AL", "PR")
    assert (axial.tilt_degrees, coronal.tilt_degrees) == (0.0, 30.0)
    shown = displayed(volume.voxels, volume.affine)
    assert sorted(shown.ravel()) == sorted(volume.voxels.ravel())


def test_a_distance_is_that_between_the_points_in_the_patient() -> None:
    sheared = affine_of("LPS", spacing_mm=(0.8, 0.8, 4.0))
    sheared[1, 2] = 1.5  # a gantry tilt
    volume = Volume(scan().voxels, sheared)
    for plane in planes_of(volume):
        start, end = (1, 0), (4, 3)  # columns and rows
        index = plane.slices // 2
        places = [centre_of(volume, plane.name, index, row, column) for column, row in (start, end)]
        assert length_mm(plane, start, end) == pytest.approx(np.linalg.norm(places[1] - places[0]))


def test_what_is_displayed_is_the_same_memory() -> None:
    volume = scan("PIL")
    label = np.zeros(volume.shape, dtype=np.uint8)
    shown = displayed(label, volume.affine)
    plane = planes_of(volume)[0]
    slice_of(shown, plane, 2)[1, 3] = 7
    assert np.count_nonzero(label == 7) == 1
