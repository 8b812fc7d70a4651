import copy
import tracemalloc
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless, generate_uid

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.frame_place import FramePlane
from fedvoxel.volumes.refusal import REMEDIES
from tests.volumes.dicom_cases import (
    DIRECTIONS,
    SHAPE,
    Cleaned,
    affine_of,
    cleaned,
    grid_of,
    image_slices,
    label_voxels,
    seg_of,
)

NAMES = {"front": ("Front",), "back": ("Back",)}


def read(slices: list[Dataset], *segs: Dataset, names: Any = None, half: bool = False) -> Any:
    return label_of(cleaned(*segs), grid_of(slices), cleaned(*slices), names or NAMES, half)


def reason(slices: list[Dataset], *segs: Dataset, **options: Any) -> str:
    with pytest.raises(GeometryError) as caught:
        read(slices, *segs, **options)
    assert str(caught.value).endswith(REMEDIES[caught.value.reason])
    assert "Front" not in str(caught.value) and "1.2." not in str(caught.value)
    return caught.value.reason


@pytest.fixture
def slices() -> list[Dataset]:
    return image_slices()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_what_highdicom_writes_is_read_exactly_in_every_orientation(direction: str, kind: str) -> None:
    slices = image_slices(direction)
    assert np.array_equal(read(slices, seg_of(slices, label_voxels(), segmentation_type=kind)), label_voxels())


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_the_order_of_frames_does_not_matter(slices: list[Dataset], order: str) -> None:
    seg = seg_of(slices, label_voxels())
    frames = list(range(len(seg.PerFrameFunctionalGroupsSequence)))
    moved = frames[::-1] if order == "reversed" else list(np.random.default_rng(0).permutation(frames))
    pixels = seg.pixel_array[moved]
    groups = [seg.PerFrameFunctionalGroupsSequence[index] for index in moved]
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    seg.PixelData += b"\0" * (len(seg.PixelData) % 2)
    assert np.array_equal(read(slices, cleared(seg)), label_voxels())


def cleared(seg: Dataset) -> Dataset:
    """Forgets what pydicom has decoded."""
    seg._pixel_id = None
    return seg


def test_a_segmentation_in_planes_of_another_direction_is_read_exactly(slices: list[Dataset]) -> None:
    # The same grid, cut sagittally: its slices are the image's columns.
    import highdicom as hd

    label = label_voxels()
    sagittal = hd.Volume(label, affine_of("axial"), "PATIENT", slices[0].FrameOfReferenceUID).permute_spatial_axes(
        [2, 0, 1]
    )
    seg = seg_of(slices, sagittal.flip_spatial([1]))
    assert int(seg.Rows) == SHAPE[0]
    assert np.array_equal(read(slices, seg), label)


def test_a_cut_out_region_is_put_back_where_it_was(slices: list[Dataset]) -> None:
    import highdicom as hd

    label = label_voxels()
    whole = hd.Volume(label, affine_of("axial"), "PATIENT", slices[0].FrameOfReferenceUID)
    assert np.array_equal(read(slices, seg_of(slices, whole[2:8, 2:13, 1:9])), label)


def test_rle_label_map(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels(), segmentation_type="LABELMAP", transfer_syntax_uid=RLELossless)
    assert np.array_equal(read(slices, seg), label_voxels())


def test_names_are_compared_without_case_and_space_and_codes_with_their_scheme(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels())
    swapped = {"b": ("  bACK ",), "f": ("nothing", "SCT|10200004")}
    label = label_voxels()
    expected = np.choose(label, [0, 2, 1])
    assert np.array_equal(read(slices, seg, names=swapped), expected)


def test_several_segments_of_a_class_are_merged_and_others_ignored(slices: list[Dataset]) -> None:
    label = label_voxels()
    label[label == 2] = 3
    label[6, 3, 3] = 2
    seg = seg_of(slices, label, ("Front", "Stray", "Front"))
    assert np.array_equal(read(slices, seg), (label_voxels() > 0) & (label != 2))


def test_a_class_without_a_segment_stays_empty(slices: list[Dataset]) -> None:
    label = np.where(label_voxels() == 2, 2, 0).astype(np.uint8)
    seg = seg_of(slices, (label == 2).astype(np.uint8), ("Back",))
    assert np.array_equal(read(slices, seg), label)


def test_segments_that_nobody_asks_for_are_an_empty_label(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels())
    assert reason(slices, seg, names={"heart": ("Heart",)}) == "empty_label"


def overlapping() -> Any:
    label = label_voxels()
    masks = np.stack([label == 1, label == 2], axis=-1).astype(np.uint8)
    masks[4, 9:11, 5, :] = 1
    return masks


def test_overlapping_classes_are_refused_but_not_overlapping_segments_of_a_class(slices: list[Dataset]) -> None:
    seg = seg_of(slices, overlapping())
    assert reason(slices, seg) == "overlapping_classes"
    assert np.array_equal(read(slices, seg, names={"all": ("front", "back")}), overlapping().any(axis=-1))


def test_a_segment_of_two_classes_is_refused(slices: list[Dataset]) -> None:
    both = {"front": ("Front",), "liver": ("SCT|10200004",)}
    assert reason(slices, seg_of(slices, label_voxels()), names=both) == "overlapping_classes"


@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
def test_fractions_are_refused_unless_the_cohort_takes_half(slices: list[Dataset], kind: str) -> None:
    fractions = np.zeros((*SHAPE, 1), dtype=np.float64)
    fractions[3:6, 4:8, 4:8] = 0.49
    fractions[3:6, 4:8, 5] = 0.51
    seg = seg_of(slices, fractions, ("Front",), segmentation_type="FRACTIONAL", fractional_type=kind)
    assert reason(slices, seg) == "fractional_label"
    assert np.array_equal(read(slices, seg, half=True), fractions[..., 0] > 0.5)


def test_fractions_of_nothing_or_all_are_whole(slices: list[Dataset]) -> None:
    whole = (label_voxels() == 1).astype(np.float64)[..., None]
    seg = seg_of(slices, whole, ("Front",), segmentation_type="FRACTIONAL")
    assert np.array_equal(read(slices, seg), whole[..., 0])


def test_instances_of_a_series_are_merged_unless_they_mark_the_same_class(slices: list[Dataset]) -> None:
    label = label_voxels()
    front = seg_of(slices, (label == 1).astype(np.uint8), ("Front",))
    back = seg_of(slices, (label == 2).astype(np.uint8), ("Back",))
    assert np.array_equal(read(slices, front, back), label)
    again = seg_of(slices, (label == 1).astype(np.uint8), ("Front",))
    assert reason(slices, front, again) == "several_labels"


def test_instances_for_other_images_are_passed_over(slices: list[Dataset]) -> None:
    other = image_slices(seed=1)
    seg, foreign = seg_of(slices, label_voxels()), seg_of(other, label_voxels())
    assert np.array_equal(read(slices, foreign, seg), label_voxels())
    assert reason(slices, foreign) == "label_other_image"


# ------------------------------------------------------------------ guards


def other_series(seg: Dataset) -> None:
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()


def other_frame(seg: Dataset) -> None:
    seg.FrameOfReferenceUID = generate_uid()


def no_frame(seg: Dataset) -> None:
    del seg.FrameOfReferenceUID


def shared(seg: Dataset) -> Dataset:
    return seg.SharedFunctionalGroupsSequence[0]


def half_a_voxel_away(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        position[0] = float(position[0]) + 0.35


def between_slices(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        position[2] = float(position[2]) + 1.0  # of 3 mm; two segments may share the item


def ten_voxels_away(seg: Dataset) -> None:
    for group in seg.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        position[0] = float(position[0]) + 7.0


def very_far_away(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [1e300, 0, 0]


def finer_pixels(seg: Dataset) -> None:
    shared(seg).PixelMeasuresSequence[0].PixelSpacing = [0.6, 0.35]


def tilted(seg: Dataset) -> None:
    angle = np.radians(3)
    tilt = [1, 0, 0, 0, np.cos(angle), np.sin(angle)]
    shared(seg).PlaneOrientationSequence[0].ImageOrientationPatient = [f"{value:.10f}" for value in tilt]


def both_axes_along_a_row(seg: Dataset) -> None:
    shared(seg).PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    shared(seg).PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.7]


def no_measures(seg: Dataset) -> None:
    del shared(seg).PixelMeasuresSequence


def empty_orientation(seg: Dataset) -> None:
    shared(seg).PlaneOrientationSequence = []


def two_numbers(seg: Dataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [1, 2]


def one_group_less(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence[0]


def no_groups(seg: Dataset) -> None:
    del seg.PerFrameFunctionalGroupsSequence


def no_segments(seg: Dataset) -> None:
    del seg.SegmentSequence


def unknown_type(seg: Dataset) -> None:
    seg.SegmentationType = "FRONTIER"


def same_frame_twice(seg: Dataset) -> None:
    groups = seg.PerFrameFunctionalGroupsSequence
    groups[1] = copy.deepcopy(groups[0])


def of_a_slide(seg: Dataset) -> None:
    seg.TotalPixelMatrixRows = 100


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (other_series, "label_other_image"),
        (other_frame, "label_other_image"),
        (no_frame, "label_other_image"),
        (half_a_voxel_away, "affine_mismatch"),
        (between_slices, "affine_mismatch"),
        (very_far_away, "affine_mismatch"),
        (finer_pixels, "affine_mismatch"),
        (tilted, "affine_mismatch"),
        (both_axes_along_a_row, "affine_mismatch"),
        (ten_voxels_away, "label_outside_image"),
        (no_measures, "malformed_label"),
        (empty_orientation, "malformed_label"),
        (two_numbers, "malformed_label"),
        (one_group_less, "malformed_label"),
        (no_groups, "malformed_label"),
        (no_segments, "malformed_label"),
        (same_frame_twice, "malformed_label"),
        (unknown_type, "unsupported_label"),
        (of_a_slide, "unsupported_label"),
    ],
)
def test_what_does_not_fit_is_refused(slices: list[Dataset], harm: Any, expected: str) -> None:
    seg = seg_of(slices, label_voxels())
    harm(seg)
    assert reason(slices, seg) == expected


def test_a_label_for_thicker_slices_is_not_taken_as_stripes(slices: list[Dataset]) -> None:
    label = label_voxels()
    label[:] = 0
    label[::2, 3:6, 3:6] = 1
    assert reason(slices, seg_of(slices, label)) == "striped_label"


def test_slices_outside_of_the_image_may_be_there_if_nothing_is_marked(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels(), omit_empty_frames=False)
    assert np.array_equal(read(slices[1:-1], seg), label_voxels()[1:-1])
    assert reason(slices[4:], seg) == "label_outside_image"


def test_a_modality_without_reader_is_refused(slices: list[Dataset]) -> None:
    assert reason(slices, *slices) == "unsupported_label"


def test_names_are_needed(slices: list[Dataset]) -> None:
    with pytest.raises(GeometryError, match="1 to 255"):
        label_of(cleaned(*slices), grid_of(slices), cleaned(*slices), {})


@pytest.mark.parametrize(
    ("position", "orientation", "spacing"),
    [
        ((0, 0, np.nan), (1, 0, 0, 0, 1, 0), (1, 1)),
        ((0, 0, 0), (1, 0, 0, 0, 1, np.inf), (1, 1)),
        ((0, 0, 0), (1, 0, 0, 0, 1), (1, 1)),
        ((0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1, 1)),
    ],
)
def test_a_plane_needs_all_its_numbers(position: Any, orientation: Any, spacing: Any) -> None:
    with pytest.raises(GeometryError, match="position, orientation or pixel spacing"):
        FramePlane.of(position, orientation, spacing)


def test_frames_and_their_descriptions_are_counted(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels())
    one_group_less(seg)
    with pytest.raises(GeometryError, match=r"frames, and .* are described"):
        read(slices, seg)


@dataclass(frozen=True)
class OtherPixels(Cleaned):
    """A segmentation whose pixels are not what its header says."""

    pixels: Any

    def stored_pixels(self, index: int) -> Any:
        return self.pixels


@pytest.mark.parametrize(("kind", "value", "text"), [("BINARY", 2, "0 and 1"), ("FRACTIONAL", 201, "its maximum")])
def test_values_beyond_what_the_type_allows_are_refused(
    slices: list[Dataset], kind: str, value: int, text: str
) -> None:
    whole = (label_voxels() == 1).astype(np.float64)[..., None]
    seg = seg_of(slices, whole, ("Front",), segmentation_type=kind, max_fractional_value=200)
    pixels = cleaned(seg).stored_pixels(0).astype(np.uint8)
    pixels[0, 0, 0] = value
    label = OtherPixels("SEG", seg.SeriesInstanceUID, (seg,), pixels)
    with pytest.raises(GeometryError, match=text):
        label_of(label, grid_of(slices), cleaned(*slices), NAMES, True)


def test_exactly_one_half_is_marked(slices: list[Dataset]) -> None:
    halves = np.zeros((*SHAPE, 1), dtype=np.float64)
    halves[3:6, 4:8, 4:8] = 0.5
    seg = seg_of(slices, halves, ("Front",), segmentation_type="FRACTIONAL", max_fractional_value=200)
    assert np.array_equal(read(slices, seg, half=True), halves[..., 0] > 0)


def test_an_enormous_frame_is_refused_before_its_pixels_are_listed(slices: list[Dataset]) -> None:
    seg = seg_of(slices, label_voxels())
    seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[:1]
    everything = np.ones((1, 6000, 6000), dtype=np.uint8)
    label = OtherPixels("SEG", seg.SeriesInstanceUID, (seg,), everything)
    tracemalloc.start()
    with pytest.raises(GeometryError, match="more pixels than the image has"):
        label_of(label, grid_of(slices), cleaned(*slices), NAMES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * everything.nbytes


HOSTILE = ["<script>alert(1)</script>", "../../etc/passwd", "DOE^JANE", "\x00\x1b[31m", "9" * 64, ""]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_spoiled_ends_in_a_label_or_a_refusal_that_quotes_nothing(slices: list[Dataset], seed: int) -> None:
    random = np.random.default_rng(seed)
    seg = reread(seg_of(slices, label_voxels(), segmentation_type=random.choice(["BINARY", "LABELMAP"])))
    pixels = cleaned(seg).stored_pixels(0)
    places = [(item, element) for item in nested(seg) for element in item if element.VR not in ("OB", "OW", "OB or OW")]
    for choice in random.choice(len(places), 3, replace=False):
        item, element = places[choice]
        if random.random() < 0.3:
            item.pop(element.tag, None)
        else:
            element._value = random.choice(HOSTILE)  # as read without validation
    label = OtherPixels("SEG", "1.2.3", (seg,), pixels)
    try:
        assert label_of(label, grid_of(slices), cleaned(*slices), NAMES).any()
    except GeometryError as error:
        assert not any(text in str(error) for text in HOSTILE if text)


def reread(seg: Dataset) -> Dataset:
    """Returns a copy that shares no code with other segmentations: highdicom's own are one object in all of them."""
    written = BytesIO()
    seg.save_as(written)
    written.seek(0)
    return dcmread(written)


def nested(dataset: Dataset) -> list[Dataset]:
    inside = [item for element in dataset if element.VR == "SQ" for item in element.value]
    return [dataset, *(found for item in inside for found in nested(item))]
