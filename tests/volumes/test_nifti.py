import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.refusal import REASONS, REMEDIES
from tests.volumes.scans import CLASSES, SHAPE, cohort_config, image_voxels, label_voxels, write_nifti, write_pair

NAME = "case-000000000001"
PATIENT = "secret-patient"

# What each file of the folder of odd files must end in; None is usable.
ODD_IMAGES = {
    "bad_magic.nii": "unreadable",
    "data_cut_short.nii": "truncated",
    "header_only_348_bytes.nii": "truncated",
    "html_error_page.nii.gz": "unreadable",
    "image_2d.nii.gz": "not_3d",
    "image_4d_one_volume.nii.gz": None,
    "image_all_zero.nii.gz": "constant_image",
    "image_complex64.nii.gz": "complex_values",
    "image_flipped_LAS.nii.gz": "affine_mismatch",
    "image_with_inf.nii.gz": "non_finite",
    "image_zero_affine.nii": "singular_affine",
    "image_zoom_tiny_1e-6.nii.gz": "implausible_spacing",
    "name with spaces é ü.nii.gz": None,
    "negative_dim.nii": "unreadable",
    "truncated_gzip.nii.gz": "truncated",
    "unknown_datatype.nii": "unreadable",
}
ODD_LABELS = {
    "label_empty.nii.gz": "empty_label",
    "label_fractional.nii.gz": "fractional_label",
    "label_shape_off_by_one.nii.gz": "shape_mismatch",
    "label_unexpected_class_7.nii.gz": "unexpected_class",
}


def reason_of(image: Path | None, *labels: Path, **cohort: Any) -> str | None:
    files = CaseFiles(PATIENT, PATIENT, image, labels)
    try:
        volume = read_labelled_volume(files, cohort_config(**cohort), CLASSES, NAME)
    except GeometryError as error:
        assert error.reason in REASONS
        assert str(error).startswith(f"{NAME}: ")
        assert str(error).endswith(REMEDIES[error.reason])
        assert PATIENT not in str(error)
        for path in (image, *labels):
            assert path is None or path.name not in str(error)
        return error.reason
    assert volume.case == NAME
    assert volume.image.voxels.dtype == np.float32
    assert volume.label.shape == volume.image.shape
    return None


@pytest.fixture
def label(tmp_path: Path) -> Path:
    return write_nifti(tmp_path / f"{PATIENT}_label.nii.gz", label_voxels())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_nifti(tmp_path / f"{PATIENT}_image.nii.gz", image_voxels())


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_image_ends_in_the_right_decision(data_folder: Path, name: str) -> None:
    label = data_folder / "msd_hippocampus" / "labels" / "hippocampus_001.nii.gz"
    assert reason_of(data_folder / "nifti_odd" / "made_from_hippocampus" / name, label) == ODD_IMAGES[name]


@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_label_ends_in_the_right_decision(data_folder: Path, name: str) -> None:
    image = data_folder / "msd_hippocampus" / "images" / "hippocampus_001.nii.gz"
    assert reason_of(image, data_folder / "nifti_odd" / "made_from_hippocampus" / name) == ODD_LABELS[name]


def test_no_odd_file_is_left_out(data_folder: Path) -> None:
    there = {path.name for path in (data_folder / "nifti_odd" / "made_from_hippocampus").iterdir()}
    assert there == set(ODD_IMAGES) | set(ODD_LABELS)


def test_foreign_test_files_never_crash(data_folder: Path) -> None:
    for path in sorted((data_folder / "nifti_odd").rglob("*")):
        if path.is_file():
            reason_of(path, path)


def test_planted_outlier_is_refused(data_folder: Path) -> None:
    folder = data_folder / "msd_hippocampus"
    label = folder / "bad_input" / "hippocampus_281_label_without_image.nii.gz"
    assert reason_of(folder / "images" / "hippocampus_001.nii.gz", label) == "shape_mismatch"


def test_las_image_with_its_label_is_usable(tmp_path: Path) -> None:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    image = write_nifti(tmp_path / "image.nii.gz", image_voxels(), affine)
    assert reason_of(image, write_nifti(tmp_path / "label.nii.gz", label_voxels(), affine)) is None


def test_missing_files_have_their_reason(tmp_path: Path, image: Path, label: Path) -> None:
    assert reason_of(None, label) == "missing_image"
    assert reason_of(tmp_path / "none.nii.gz", label) == "missing_image"
    assert reason_of(image, tmp_path / "none.nii.gz") == "missing_label"


@pytest.mark.parametrize(
    ("voxels", "reason"),
    [
        (np.where(image_voxels() > 100, np.nan, image_voxels()), "non_finite"),
        (np.full(SHAPE, 1e300), "non_finite"),
        (np.full(SHAPE, 3.0), "constant_image"),
        (image_voxels((*SHAPE, 2)), "not_3d"),
        (image_voxels((9, 11, 1)), "not_3d"),
        (image_voxels((9, 11)), "not_3d"),
        (np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "unsupported_type"),
    ],
)
def test_image_voxels_are_judged(tmp_path: Path, label: Path, voxels: np.ndarray, reason: str) -> None:
    assert reason_of(write_nifti(tmp_path / "image.nii.gz", voxels), label) == reason


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (np.diag([1.0, 1.0, 0.0, 1.0]), "singular_affine"),
        (np.diag([1.0, 1.0, 21.0, 1.0]), "implausible_spacing"),
        (np.diag([0.04, 1.0, 1.0, 1.0]), "implausible_spacing"),
        (np.array([[1, 1, 0, 0], [0, 0.01, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float), "singular_affine"),
        (np.array([[np.nan, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular_affine"),
    ],
)
def test_affine_is_judged(tmp_path: Path, affine: np.ndarray, reason: str) -> None:
    path = write_nifti(tmp_path / "image.nii", image_voxels())
    header = bytearray(path.read_bytes())
    header[280:328] = affine[:3].astype("<f4").tobytes()
    header[252:256] = struct.pack("<hh", 0, 1)
    path.write_bytes(header)
    assert reason_of(path, path) == reason


@pytest.mark.parametrize(
    ("codes", "spacing", "reason"),
    [
        ((0, 0), (1.0, 1.0, 1.0), "no_orientation"),
        ((0, 99), (1.0, 1.0, 1.0), "no_orientation"),
        ((-1, 0), (1.0, 1.0, 1.0), "no_orientation"),
        ((1, 0), (1.0, 0.0, 1.0), "implausible_spacing"),
        ((1, 0), (1.0, np.nan, 1.0), "implausible_spacing"),
        ((1, 99), (1.0, 1.0, 1.0), None),
        ((1, 0), (1.0, 1.0, 1.0), None),
        ((0, 2), (1.0, 0.0, 1.0), None),
    ],
)
def test_geometry_is_never_made_up(
    tmp_path: Path, label: Path, codes: tuple[int, int], spacing: tuple[float, ...], reason: str | None
) -> None:
    path = write_nifti(tmp_path / "image.nii", image_voxels())
    content = bytearray(path.read_bytes())
    content[80:92] = struct.pack("<3f", *spacing)
    content[252:256] = struct.pack("<hh", *codes)
    path.write_bytes(content)
    assert reason_of(path, label) == reason


@pytest.mark.parametrize(
    ("dims", "reason"),
    [
        ((3, 32767, 32767, 32767), "too_large"),
        ((3, 9, 11, -7), "unreadable"),
        ((3, 9, 0, 7), "unreadable"),
        ((9, 9, 11, 7), "unreadable"),
        ((3, 9, 11, 700), "truncated"),
    ],
)
def test_claimed_size_is_judged_before_memory_is_asked_for(
    tmp_path: Path, label: Path, dims: tuple[int, ...], reason: str
) -> None:
    path = write_nifti(tmp_path / "image.nii", image_voxels())
    content = bytearray(path.read_bytes())
    content[40:48] = struct.pack("<4h", *dims)
    path.write_bytes(content)
    assert reason_of(path, label) == reason


def test_size_claimed_inside_gzip_does_not_cost_memory(tmp_path: Path, label: Path) -> None:
    import tracemalloc

    plain = bytearray(write_nifti(tmp_path / "image.nii", image_voxels()).read_bytes())
    plain[40:48] = struct.pack("<4h", 3, 600, 600, 700)
    path = tmp_path / "image.nii.gz"
    path.write_bytes(gzip.compress(bytes(plain)))
    tracemalloc.start()
    assert reason_of(path, label) == "truncated"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize("offset", [np.nan, np.inf, -5.0, 1e9])
def test_far_voxel_offset_is_refused(tmp_path: Path, label: Path, offset: float) -> None:
    path = write_nifti(tmp_path / "image.nii", image_voxels())
    content = bytearray(path.read_bytes())
    content[108:112] = struct.pack("<f", offset)
    path.write_bytes(content)
    assert reason_of(path, label) == "unreadable"


def test_names_decide_and_not_guesses(tmp_path: Path, image: Path, label: Path) -> None:
    plain = write_nifti(tmp_path / "plain.nii", image_voxels())
    assert reason_of(plain.rename(tmp_path / "plain.nii.gz"), label) == "unreadable"
    assert reason_of(image.rename(tmp_path / "image.mgz"), label) == "unreadable"
    folder = tmp_path / "folder.nii.gz"
    folder.mkdir()
    assert reason_of(folder, label) == "missing_image"


def test_wrong_checksum_is_refused(image: Path, label: Path) -> None:
    content = bytearray(image.read_bytes())
    content[-8] ^= 0xFF
    image.write_bytes(content)
    assert reason_of(image, label) == "unreadable"


def test_slope_and_big_endian_and_nifti2_are_respected(tmp_path: Path) -> None:
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    scaled = nibabel.Nifti1Image(stored, affine)
    scaled.header.set_slope_inter(2.0, -3.0)
    scaled.to_filename(tmp_path / "scaled.nii.gz")
    path = tmp_path / "scaled.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = struct.pack("<ff", 2.0, -3.0)
    content[352:] = stored.tobytes(order="F")
    path.write_bytes(gzip.compress(bytes(content)))
    voxels, read_affine = read_nifti(path, "image", "missing_image")
    np.testing.assert_allclose(voxels, stored * 2.0 - 3.0)
    np.testing.assert_allclose(read_affine, affine)
    for name, kind, header in (
        ("two.nii", nibabel.Nifti2Image, None),
        ("big.nii", nibabel.Nifti1Image, nibabel.Nifti1Header(endianness=">")),
    ):
        kind(stored, affine, header).to_filename(tmp_path / name)
        np.testing.assert_array_equal(read_nifti(tmp_path / name, "image", "missing_image")[0], stored)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda label: label.astype(np.float64), None),
        (lambda label: np.where(label == 1, 0.5, label), "fractional_label"),
        (lambda label: np.where(label == 1, np.nan, label), "non_finite"),
        (lambda label: np.where(label == 1, -1, label).astype(np.int16), "unexpected_class"),
        (lambda label: np.where(label == 1, 254, label), "unexpected_class"),
        (lambda label: label * 127, "unexpected_class"),
        (lambda label: np.where(label == 2, 0, label), None),
        (lambda label: label * 0, "empty_label"),
        (lambda label: label[:-1], "shape_mismatch"),
    ],
)
def test_label_voxels_are_judged(tmp_path: Path, image: Path, change: Any, reason: str | None) -> None:
    label = np.asarray(change(label_voxels()))
    label = label.astype(np.int16) if label.dtype == np.int64 else label
    assert reason_of(image, write_nifti(tmp_path / "label.nii.gz", label)) == reason


@pytest.mark.parametrize(("shift_mm", "reason"), [(0.1, None), (0.5, "affine_mismatch"), (30.0, "affine_mismatch")])
def test_label_must_lie_on_the_image(tmp_path: Path, image: Path, shift_mm: float, reason: str | None) -> None:
    affine = np.eye(4)
    affine[0, 3] = shift_mm
    assert reason_of(image, write_nifti(tmp_path / "label.nii.gz", label_voxels(), affine)) == reason


def test_label_codes_become_the_jobs_codes(tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    read = read_labelled_volume(files, cohort_config(), ("posterior", "anterior"), NAME)
    np.testing.assert_array_equal(read.label, np.array([0, 2, 1], dtype=np.uint8)[label_voxels()])


def test_class_outside_the_jobs_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="also found 2") as caught:
        read_labelled_volume(write_pair(tmp_path), cohort_config(), ("anterior",), NAME)
    assert caught.value.reason == "unexpected_class"


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_the_bytes_the_end_is_a_volume_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    files = write_pair(folder)
    assert files.image is not None
    plain = bytearray(gzip.decompress(files.image.read_bytes()))
    for _ in range(data.draw(st.integers(0, 4))):
        # Most of what can go wrong is in the header.
        place = data.draw(st.one_of(st.integers(0, 351), st.integers(0, len(plain) - 1)))
        plain[place] = data.draw(st.integers(0, 255))
    content = gzip.compress(bytes(plain), 1) if data.draw(st.booleans()) else bytes(plain)
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    broken = folder / ("broken.nii.gz" if content[:2] == b"\x1f\x8b" else "broken.nii")
    broken.write_bytes(content)
    reason_of(broken, files.label[0])
    reason_of(files.image, broken)
