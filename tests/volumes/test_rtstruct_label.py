import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid
from skimage.draw import polygon2mask
from skimage.measure import find_contours

from fedvoxel.errors import GeometryError
from fedvoxel.volumes import rtstruct_label
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.polygon_fill import fill_polygons
from fedvoxel.volumes.refusal import REMEDIES
from tests.volumes.dicom_cases import (
    DIRECTIONS,
    Cleaned,
    affine_of,
    cleaned,
    grid_of,
    image_slices,
    label_voxels,
    rtstruct_of,
)

NAMES = {"front": ("Front",), "back": ("Back",)}

Contours = dict[str, list[NDArray[np.float64]]]


def world(direction: str, slice_index: float, points: Any) -> NDArray[np.float64]:
    """Takes (row, column) of a slice to LPS millimetres."""
    homogeneous = np.array([(slice_index, row, column, 1.0) for row, column in points])
    return (homogeneous @ affine_of(direction).T)[:, :3]


def outlines(mask: NDArray[np.bool_], direction: str = "axial") -> list[NDArray[np.float64]]:
    """Outlines half a pixel around the marked pixels, holes as contours of their own."""
    found = []
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        padded = np.pad(mask[index].astype(float), 1)
        found += [world(direction, index, line[:-1] - 1) for line in find_contours(padded, 0.5)]
    return found


def drawn(direction: str = "axial") -> Contours:
    label = label_voxels()
    return {"Front": outlines(label == 1, direction), "Back": outlines(label == 2, direction)}


def read(slices: list[Dataset], *made: Dataset, names: Any = None) -> Any:
    return label_of(cleaned(*made), grid_of(slices), cleaned(*slices), names or NAMES)


def reason(slices: list[Dataset], *made: Dataset) -> str:
    with pytest.raises(GeometryError) as caught:
        read(slices, *made)
    assert str(caught.value).endswith(REMEDIES[caught.value.reason])
    assert "Front" not in str(caught.value) and "1.2." not in str(caught.value)
    return caught.value.reason


@pytest.fixture
def slices() -> list[Dataset]:
    return image_slices()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_outlines_come_back_as_the_label_in_every_orientation(direction: str) -> None:
    slices = image_slices(direction)
    assert np.array_equal(read(slices, rtstruct_of(slices, drawn(direction))), label_voxels())


def star(centre: tuple[float, float], radius: float, corners: int = 40) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = radius * (1 + 0.3 * np.cos(5 * angle))
    return np.stack([centre[0] + reach * np.sin(angle), centre[1] + reach * np.cos(angle)], axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_filled_as_scikit_image_fills_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (31, 47)
    polygon = star((random.uniform(8, 20), random.uniform(12, 30)), random.uniform(2, 11))
    assert np.array_equal(fill_polygons([polygon], shape), polygon2mask(shape, polygon))
    scattered = random.uniform((-4, -4), (35, 51), (9, 2))
    assert np.array_equal(fill_polygons([scattered], shape), polygon2mask(shape, scattered))
    both = polygon2mask(shape, polygon) ^ polygon2mask(shape, scattered)
    assert np.array_equal(fill_polygons([polygon, scattered], shape), both)


@pytest.mark.parametrize("seed", range(20))
def test_polygons_through_pixel_centres_hold_these_pixels(seed: int) -> None:
    corners = np.random.default_rng(seed).integers(0, 12, (7, 2))
    filled, inside = fill_polygons([corners.astype(float)], (12, 12)), polygon2mask((12, 12), corners)
    assert np.array_equal(filled, inside | on_outline(corners, (12, 12)))


def on_outline(corners: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixel centres on the outline, in whole numbers (scikit-image leaves some of them out)."""
    pixels = np.argwhere(np.ones(shape))
    found = np.zeros(len(pixels), dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along, to_pixel = end - start, pixels - start
        straight = along[0] * to_pixel[:, 1] == along[1] * to_pixel[:, 0]
        between = np.all((pixels >= np.minimum(start, end)) & (pixels <= np.maximum(start, end)), axis=1)
        found |= straight & between
    return found.reshape(shape)


def test_a_point_and_a_line_are_the_pixels_on_them() -> None:
    assert fill_polygons([np.array([[2.0, 3.0]])], (5, 6)).nonzero() == ([2], [3])
    line = fill_polygons([np.array([[1.0, 1.0], [1.0, 4.0]])], (5, 6))
    assert np.array_equal(np.argwhere(line), [(1, column) for column in range(1, 5)])


SQUARE = [(1, 1), (1, 9), (9, 9), (9, 1)]
HOLE = [(3.5, 3.5), (3.5, 6.5), (6.5, 6.5), (6.5, 3.5)]


def test_holes_by_a_second_contour_and_by_a_keyhole_are_the_same(slices: list[Dataset]) -> None:
    keyhole = [*SQUARE, SQUARE[0], HOLE[0], *HOLE[:0:-1], HOLE[0], SQUARE[0]]
    by_contour = {"Front": [world("axial", index, ring) for index in (3, 4) for ring in (SQUARE, HOLE)]}
    by_keyhole = {"Front": [world("axial", index, keyhole) for index in (3, 4)]}
    expected = np.zeros(label_voxels().shape)
    expected[3:5, 1:10, 1:10] = 1
    expected[3:5, 4:7, 4:7] = 0
    assert np.array_equal(read(slices, rtstruct_of(slices, by_contour)), expected)
    assert np.array_equal(read(slices, rtstruct_of(slices, by_keyhole)), expected)


def test_an_exclusive_or_contour_is_a_closed_one(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    for item in made.ROIContourSequence:
        for contour in item.ContourSequence:
            contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
    assert np.array_equal(read(slices, made), label_voxels())


def test_a_structure_is_found_by_its_code(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    code, seen = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "10200004", "SCT"
    seen.ReferencedROINumber, seen.RTROIIdentificationCodeSequence = 2, [code]
    made.RTROIObservationsSequence = [seen]
    assert np.array_equal(read(slices, made, names={"liver": ("SCT|10200004",)}), label_voxels() == 2)


def test_contours_up_to_the_image_border_are_inside(slices: list[Dataset]) -> None:
    everything = [(-0.5, -0.5), (-0.5, 10.5), (13.5, 10.5), (13.5, -0.5)]
    made = rtstruct_of(slices, {"Front": [world("axial", 0, everything), world("axial", 8, everything)]})
    label = read(slices, made)
    assert label[[0, 8]].all() and not label[1:8].any()


def test_other_structures_may_be_anything(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, {**drawn(), "Isocentre": [world("axial", 300.4, [(0, 0)])]})
    made.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "POINT"
    made.ROIContourSequence[2].ContourSequence[0].ContourData = ["1", "2"]
    assert np.array_equal(read(slices, made), label_voxels())


def test_structure_sets_for_other_images_are_passed_over(slices: list[Dataset]) -> None:
    foreign = rtstruct_of(image_slices(seed=1), drawn())
    made = rtstruct_of(slices, drawn())
    assert np.array_equal(read(slices, foreign, made), label_voxels())
    assert reason(slices, foreign) == "label_other_image"
    assert reason(slices, made, rtstruct_of(slices, drawn())) == "several_labels"


def test_a_structure_set_that_names_no_series_goes_by_its_frame_of_reference(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    del made.ReferencedFrameOfReferenceSequence
    assert np.array_equal(read(slices, made), label_voxels())


def test_a_made_up_frame_of_reference_is_taken_if_each_contour_names_its_slice(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    for roi in made.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = generate_uid()
    for contour in (contour for item in made.ROIContourSequence for contour in item.ContourSequence):
        name_slice(contour, slices[int(np.rint((float(contour.ContourData[2]) - 140.125) / 3))])
    assert np.array_equal(read(slices, made), label_voxels())
    name_slice(first(made), slices[0])
    assert reason(slices, made) == "label_other_image"


def name_slice(contour: Dataset, image: Dataset) -> None:
    named = Dataset()
    named.ReferencedSOPInstanceUID = image.SOPInstanceUID
    contour.ContourImageSequence = [named]


# ------------------------------------------------------------------ guards


def first(made: Dataset) -> Dataset:
    return made.ROIContourSequence[0].ContourSequence[0]


def move(made: Dataset, axis: int, by_mm: float) -> None:
    data = np.array(first(made).ContourData, dtype=float).reshape(-1, 3)
    data[:, axis] += by_mm
    first(made).ContourData = [f"{value:.6f}" for value in data.ravel()]


def tilt(made: Dataset) -> None:
    data = np.array(first(made).ContourData, dtype=float).reshape(-1, 3)
    data[:, 2] += (data[:, 0] - data[:, 0].min()) * 0.5
    first(made).ContourData = [f"{value:.6f}" for value in data.ravel()]


def open_planar(made: Dataset) -> None:
    first(made).ContourGeometricType = "OPEN_PLANAR"


def point(made: Dataset) -> None:
    first(made).ContourGeometricType = "POINT"


def other_frame(made: Dataset) -> None:
    made.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()


def no_frame(made: Dataset) -> None:
    del made.StructureSetROISequence[1].ReferencedFrameOfReferenceUID


def foreign_slice(made: Dataset) -> None:
    image = Dataset()
    image.ReferencedSOPInstanceUID = generate_uid()
    first(made).ContourImageSequence = [image]


def cut_off(made: Dataset) -> None:
    first(made).ContourData = list(first(made).ContourData)[:-1]


def no_data(made: Dataset) -> None:
    first(made).ContourData = None


def not_finite(made: Dataset) -> None:
    data = list(first(made).ContourData)
    first(made)["ContourData"]._value = [float("nan"), *data[1:]]  # as read without validation


def same_number(made: Dataset) -> None:
    made.StructureSetROISequence[1].ROINumber = 1


def nothing_drawn(made: Dataset) -> None:
    for item in made.ROIContourSequence:
        del item.ContourSequence


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda made: move(made, 2, 1.5), "contours_off_slices"),
        (tilt, "contours_off_slices"),
        (lambda made: move(made, 2, -30), "label_outside_image"),
        (lambda made: move(made, 0, 7), "label_outside_image"),
        (lambda made: move(made, 1, -4), "label_outside_image"),
        (lambda made: move(made, 0, 1e9), "label_outside_image"),
        (open_planar, "unsupported_label"),
        (point, "unsupported_label"),
        (other_frame, "label_other_image"),
        (no_frame, "label_other_image"),
        (foreign_slice, "label_other_image"),
        (cut_off, "malformed_label"),
        (no_data, "malformed_label"),
        (not_finite, "malformed_label"),
        (same_number, "malformed_label"),
        (nothing_drawn, "empty_label"),
    ],
)
def test_what_does_not_fit_is_refused(slices: list[Dataset], harm: Any, expected: str) -> None:
    made = rtstruct_of(slices, drawn())
    harm(made)
    assert reason(slices, made) == expected


def test_overlapping_structures_are_refused(slices: list[Dataset]) -> None:
    label = label_voxels()
    contours = {"Front": outlines(label > 0), "Back": outlines(label == 2)}
    assert reason(slices, rtstruct_of(slices, contours)) == "overlapping_classes"


def test_contours_on_every_second_slice_are_refused(slices: list[Dataset]) -> None:
    contours = {"Front": [world("axial", index, SQUARE) for index in (1, 3, 5, 7)]}
    assert reason(slices, rtstruct_of(slices, contours)) == "striped_label"


@pytest.mark.parametrize("marked", [(1, 3, 7), (0, 2, 8), (0, 4, 8), (2, 4), (1, 3, 4, 6, 8)])
def test_lesions_that_lie_apart_are_no_stripes(slices: list[Dataset], marked: tuple[int, ...]) -> None:
    contours = {"Front": [world("axial", index, SQUARE) for index in marked]}
    label = read(slices, rtstruct_of(slices, contours))
    assert tuple(np.flatnonzero(label.any(axis=(1, 2)))) == marked


def test_endless_outlines_cost_neither_memory_nor_time() -> None:
    zigzag = np.stack([np.tile([0.0, 4000.0], 2**20), np.linspace(0, 4000, 2**21)], axis=1)
    begin = time.monotonic()
    with pytest.raises(GeometryError, match="longer than that of any organ"):
        fill_polygons([zigzag], (4096, 4096))
    many = np.random.default_rng(0).uniform(0, 500, (2**15, 2))
    assert fill_polygons([many[:1000]], (512, 512)).any()
    assert time.monotonic() - begin < 10


def test_points_are_counted_over_all_contours(slices: list[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    points = sum(len(contour) for contour in drawn()["Front"])
    monkeypatch.setattr(rtstruct_label, "MAX_POINTS", points)
    assert np.array_equal(read(slices, rtstruct_of(slices, drawn())), label_voxels())
    monkeypatch.setattr(rtstruct_label, "MAX_POINTS", points - 1)
    assert reason(slices, rtstruct_of(slices, drawn())) == "malformed_label"


HOSTILE = ["<script>alert(1)</script>", "../../etc/passwd", "DOE^JANE", "\x00\x1b[31m", "9" * 64, ""]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_spoiled_ends_in_a_label_or_a_refusal_that_quotes_nothing(slices: list[Dataset], seed: int) -> None:
    random = np.random.default_rng(seed)
    made = rtstruct_of(slices, drawn())
    places = [(item, element) for item in nested(made) for element in item]
    for choice in random.choice(len(places), 3, replace=False):
        item, element = places[choice]
        if random.random() < 0.3:
            item.pop(element.tag, None)
        else:
            element._value = random.choice(HOSTILE)  # as read without validation
    series = Cleaned("RTSTRUCT", "1.2.3", (made,))
    try:
        assert label_of(series, grid_of(slices), cleaned(*slices), NAMES).any()
    except GeometryError as error:
        assert not any(text in str(error) for text in HOSTILE if text)


def nested(dataset: Dataset) -> list[Dataset]:
    inside = [item for element in dataset if element.VR == "SQ" for item in element.value]
    return [dataset, *(found for item in inside for found in nested(item))]
