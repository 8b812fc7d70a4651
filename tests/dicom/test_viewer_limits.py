"""What a known viewer shows wrong is said of exactly those segmentations that it shows wrong."""

from collections.abc import Sequence

import numpy as np
import pytest
from pydicom import Dataset

from fedvoxel.dicom.viewer_limits import viewer_remarks
from tests.volumes.dicom_cases import image_slices, seg_of


def marked(shape: Sequence[int], kind: str = "BINARY") -> Dataset:
    """A segmentation of which each frame (slice, rows, columns) has one segment, with one pixel."""
    label = np.zeros(tuple(shape), np.uint8)
    label[:, 1, 1] = 1
    fractional = {"fractional_type": "OCCUPANCY", "max_fractional_value": 255} if kind == "FRACTIONAL" else {}
    return seg_of(image_slices("axial", shape), label, ["one"], segmentation_type=kind, **fractional)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((16, 14, 11), "OHIF 3.13 misplaces this segmentation or does not open it"),
        ((9, 14, 11), "14 rows x 11 columns are no multiple of 8"),
        ((5, 8, 23), "an odd number of bytes"),
    ],
)
def test_what_the_viewer_shows_wrong_is_said_with_the_way_out(shape: tuple[int, ...], said: str) -> None:
    (remark,) = viewer_remarks(marked(shape))
    assert said in remark and remark.endswith("--eight-bit avoids that.")


@pytest.mark.parametrize("shape", [(9, 16, 11), (6, 8, 23), (1, 14, 11)])
def test_nothing_is_said_of_a_size_that_it_shows_rightly(shape: tuple[int, ...]) -> None:
    assert viewer_remarks(marked(shape)) == ()


@pytest.mark.parametrize("shape", [(16, 14, 11), (5, 8, 23), (5, 9, 11)])
def test_nothing_is_said_of_eight_bits(shape: tuple[int, ...]) -> None:
    assert viewer_remarks(marked(shape, "FRACTIONAL")) == ()
