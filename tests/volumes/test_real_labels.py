"""Segmentations and structure sets that other tools wrote: each ends in the right label, or in a refusal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import SeriesFiles, find_series
from fedvoxel.errors import DeidError, DicomError, GeometryError
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.dicom_volume import volume_of
from fedvoxel.volumes.refusal import REMEDIES
from tests.volumes.dicom_cases import Cleaned, OnGrid, cleaned, grid_of
from tests.volumes.site_pipeline import LABELS, deidentified

DCMQI = Path("dicom_seg_rt/dcmqi/segmentations")
ODD = Path("dicom_odd/pydicom-data")
LIVER = {"liver": ("liver",)}


@dataclass(frozen=True)
class FromFiles(Cleaned):
    """Reads its pixels as the real series does."""

    paths: tuple[Path, ...]

    def stored_pixels(self, index: int) -> NDArray[Any]:
        return stored_pixels(self.paths[index], self.headers[index])


def opened(*paths: Path) -> FromFiles:
    headers = tuple(read_header(path) for path in paths)
    return FromFiles(headers[0].Modality, headers[0].SeriesInstanceUID, headers, paths)


def image_of(folder: Path) -> tuple[FromFiles, OnGrid]:
    """An image series and its grid, in the order of rising z as SimpleITK has it."""
    series = opened(*sorted(folder.iterdir(), key=lambda path: float(read_header(path).ImagePositionPatient[2])))
    return series, grid_of(series.headers)


def read(label: FromFiles, image: tuple[Any, OnGrid], names: dict[str, tuple[str, ...]]) -> NDArray[np.uint8] | str:
    """The label, or the reason of its refusal."""
    with quiet():
        try:
            return label_of(label, image[1], image[0], names)
        except (GeometryError, DicomError) as error:
            assert isinstance(error, DicomError) or str(error).endswith(REMEDIES[error.reason])
            return error.reason


def nrrd(path: Path) -> NDArray[Any]:
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


SAME = [
    (DCMQI / "liver.dcm", DCMQI / "liver_seg.nrrd", DCMQI / "ct-3slice", 1),
    (DCMQI / "23x38x3/seg/label.seg", DCMQI / "23x38x3/nrrd/label.nrrd", DCMQI / "23x38x3/image", 1),
    (DCMQI / "24x38x3/seg/label.seg", DCMQI / "24x38x3/nrrd/label.nrrd", DCMQI / "24x38x3/image", 1),
    (DCMQI / "sparse-labelmap-noppv.dcm", DCMQI / "sparse_labelmap_noppv_seg.nrrd", DCMQI / "24x38x3/image", 1),
    (DCMQI / "sparse-labelmap-ppv5.dcm", DCMQI / "sparse_labelmap_ppv5_seg.nrrd", DCMQI / "24x38x3/image", 1),
    *[
        (ODD / f"liver{form}.dcm", DCMQI / "liver_seg.nrrd", DCMQI / "ct-3slice", 1)
        for form in ("", "_deflate", "_expb", "_j2k", "_rle")
    ],
]


@pytest.mark.parametrize(("seg", "expected", "image", "code"), SAME, ids=[str(row[0].name) for row in SAME])
def test_a_segmentation_is_what_its_writer_says(
    data_folder: Path, seg: Path, expected: Path, image: Path, code: int
) -> None:
    label = read(opened(data_folder / seg), image_of(data_folder / image), LIVER)
    assert np.array_equal(label, nrrd(data_folder / expected) == code)


@pytest.mark.parametrize("form", ["", "_deflate", "_j2k", "_rle"])
def test_frames_that_do_not_end_on_a_byte(data_folder: Path, form: str) -> None:
    path = data_folder / ODD / f"liver_nonbyte_aligned{form}.dcm"
    label = read(opened(path), image_of(data_folder / DCMQI / "ct-3slice"), LIVER)
    # It is a copy of the segmentation without its last two rows and columns.
    whole = nrrd(data_folder / DCMQI / "liver_seg.nrrd")
    assert not whole[:, 510:].any() and not whole[:, :, 510:].any()
    assert np.array_equal(label, whole)


def test_classes_that_overlap_are_refused_and_others_are_read(data_folder: Path) -> None:
    seg = opened(data_folder / DCMQI / "partial_overlaps.dcm")
    image = image_of(data_folder / DCMQI / "ct-3slice")
    colours = ("green", "orange", "purple", "light_blue", "dark_blue")
    assert read(seg, image, {colour: (colour,) for colour in colours}) == "overlapping_classes"
    parts = [nrrd(data_folder / DCMQI / f"partial_overlaps-{number}.nrrd") for number in (1, 2, 3)]
    for code, colour in enumerate(colours, start=1):
        expected = np.any([part == code for part in parts], axis=0)
        assert np.array_equal(read(seg, image, {colour: (colour,)}), expected)


def own_grid(seg: Path) -> tuple[Any, OnGrid, Any]:
    """The grid of a segmentation itself, as the image that it was drawn on, and highdicom's reading of it."""
    with quiet():
        volume = hd.seg.segread(str(seg)).get_volume()
        header = read_header(seg)
    image = Dataset()
    image.FrameOfReferenceUID, image.Modality = header.FrameOfReferenceUID, "CT"
    image.SeriesInstanceUID = header.ReferencedSeriesSequence[0].SeriesInstanceUID
    return cleaned(image), OnGrid(volume.get_geometry()), volume


HIGHDICOM = {
    "dicom_seg_rt/dcmqi/sr-example/seg.dcm": None,
    "dicom_seg_rt/highdicom/seg_image_ct_binary.dcm": None,
    "dicom_seg_rt/highdicom/seg_image_ct_binary_fractional.dcm": None,
    "dicom_seg_rt/highdicom/seg_image_ct_binary_overlap.dcm": None,
    "dicom_seg_rt/highdicom/seg_image_ct_true_fractional.dcm": "fractional_label",
}


@pytest.mark.parametrize("name", HIGHDICOM)
def test_a_segmentation_is_what_highdicom_reads(data_folder: Path, name: str) -> None:
    series, grid, volume = own_grid(data_folder / name)
    seg = opened(data_folder / name)
    assert volume.array.any()
    for index, segment in enumerate(seg.headers[0].SegmentSequence):
        label = read(seg, (series, grid), {"one": (segment.SegmentLabel,)})
        if HIGHDICOM[name] is not None or not volume.array[..., index].any():
            assert label == (HIGHDICOM[name] or "empty_label")
        else:
            assert np.array_equal(label, volume.array[..., index] > 0)


def labels_in(folder: Path) -> list[Path]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if read_header(path).get("Modality") in ("SEG", "RTSTRUCT"):
                found.append(path)
        except DicomError:
            pass
    return found


def test_every_label_ends_in_a_label_or_a_refusal(data_folder: Path) -> None:
    images = [image_of(data_folder / DCMQI / folder) for folder in ("ct-3slice", "23x38x3/image", "24x38x3/image")]
    images.append(image_of(data_folder / "dicom_studies/hippocrop/Study1"))
    paths = labels_in(data_folder / "dicom_seg_rt") + labels_in(data_folder / "dicom_odd")
    assert len(paths) > 30
    for path in paths:
        label = opened(path)
        for image in images:
            outcome = read(label, image, {"all": tuple(called(label.headers[0]))})
            assert isinstance(outcome, str) or outcome.any()


SLIDES = ["control", "control_labelmap", "control_labelmap_palette_color", "dots", "dots_tiled_full", "numbers"]


@pytest.mark.parametrize("name", [*(f"sm_{slide}" for slide in SLIDES), "cr_binary"])
def test_a_segmentation_without_a_volume_is_refused(data_folder: Path, name: str) -> None:
    seg = opened(data_folder / "dicom_seg_rt/highdicom" / f"seg_image_{name}.dcm")
    _, grid = image_of(data_folder / DCMQI / "ct-3slice")
    header = seg.headers[0]
    as_if = Dataset()
    as_if.FrameOfReferenceUID = header.get("FrameOfReferenceUID", "1.2.3")
    as_if.SeriesInstanceUID, as_if.Modality = header.ReferencedSeriesSequence[0].SeriesInstanceUID, "CT"
    names = {"all": tuple(item.SegmentLabel for item in header.SegmentSequence)}
    expected = "label_other_image" if name == "cr_binary" else "unsupported_label"
    assert read(seg, (cleaned(as_if), grid), names) == expected


# ------------------------------------------------------------------ structure sets

RT_UTILS = Path("dicom_seg_rt/rt-utils")


def test_a_structure_set_that_invents_its_frame_of_reference(data_folder: Path) -> None:
    paths = [data_folder / RT_UTILS / "mock_data" / f"ct_{number}.dcm" for number in (1, 2)]
    image = opened(*paths)
    structures = opened(data_folder / RT_UTILS / "mock_data/rt.dcm")
    label = read(structures, (image, grid_of(image.headers)), {"a": ("roi-1",)})
    assert not isinstance(label, str)
    assert label[0].any() and not label[1].any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mock_data/invalid_reference_rt.dcm", "label_other_image"),
        ("mock_data/non_existent_reference_rt.dcm", "label_other_image"),
        ("empty/dummy_rt.dcm", "label_other_image"),
    ],
)
def test_a_structure_set_for_slices_that_are_not_there(data_folder: Path, name: str, expected: str) -> None:
    image = opened(*(data_folder / RT_UTILS / "mock_data" / f"ct_{number}.dcm" for number in (1, 2)))
    assert read(opened(data_folder / RT_UTILS / name), (image, grid_of(image.headers)), {"a": ("ROI-2",)}) == expected


# ------------------------------------------------------------------ through de-identification


def test_de_identified_labels_are_what_they_were(data_folder: Path) -> None:
    folder = data_folder / DCMQI
    (image_files,) = find_series(folder / "ct-3slice").series
    image = deidentified(image_files)
    volume = volume_of(image)
    assert volume.volume.affine[2, 2] < 0  # SimpleITK's slices rise, these fall
    liver = nrrd(folder / "liver_seg.nrrd").transpose(2, 1, 0)[:, :, ::-1]
    seen = 0
    for files in find_series(folder).series:
        if files.modality == "SEG" and files.referenced_series == (image_files.series_uid,):
            label = deidentified(files, {"liver": ("LIVER", "Green"), "other": ("orange",)})
            if label.headers[0].SegmentSequence[0].SegmentLabel == "LIVER":
                assert np.array_equal(label_of(label, volume, image, LIVER), liver)
                seen += 1
    assert seen == 1


def test_every_label_that_is_de_identified_ends_in_a_label_or_a_refusal(data_folder: Path) -> None:
    folders = [data_folder / "dicom_seg_rt" / part for part in ("dcmqi", "highdicom", "rt-utils", "dicompyler")]
    found = [series for folder in [*folders, data_folder / ODD] for series in find_series(folder).series]
    labels = [series for series in found if series.modality in LABELS]
    assert len(labels) > 20
    ended = [fate(label, [series for series in found if series.modality == "CT"]) for label in labels]
    assert ended.count("label") >= 5
    assert "empty" not in ended


def fate(files: SeriesFiles, images: list[SeriesFiles]) -> str:
    names = tuple({str(name) for path in files.paths for name in called(read_header(path))} or {"nothing"})
    referred = [image for image in images if image.series_uid in files.referenced_series]
    try:
        label = deidentified(files, {"all": names})
        image = deidentified((referred or images)[0])
        return "label" if label_of(label, volume_of(image), image, {"all": names}).any() else "empty"
    except (DeidError, DicomError, GeometryError) as error:
        assert not any(name in str(error) for name in names if len(name) > 6)
        assert files.patient_id not in str(error).split() and files.series_uid not in str(error)
        return type(error).__name__


def called(header: Dataset) -> list[Any]:
    names = [item.SegmentLabel for item in header.get("SegmentSequence", ())]
    return names + [item.ROIName for item in header.get("StructureSetROISequence", ())]
