"""From DICOM to a volume, from the volume to a DICOM SEG or RTSTRUCT, and back: the label stays what it was."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import SeriesFiles, find_series
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.dicom_volume import DicomVolume, volume_of
from fedvoxel.volumes.volume import Volume
from tests.volumes.dicom_cases import DIRECTIONS, image_slices, rtstruct_of, seg_of
from tests.volumes.site_pipeline import deidentified, paired, store

NAMES = {"front": ("FRONT",), "back": ("back",)}
REAL = [
    "dicom_studies/hippocrop/Study1",
    "dicom_studies/brain_tumour_siemens_study3",
    "dicom_studies/prostatex",
    "dicom_studies/prostate3t",
    "dicom_seg_rt/dcmqi/segmentations/23x38x3",
    "dicom_seg_rt/dcmqi/segmentations/ct-3slice",
]


def drawn_on(image: Volume) -> NDArray[np.uint8]:
    """A label without symmetry that depends on where a voxel lies in the world, not on how it is stored."""
    indices = np.indices(image.shape).reshape(3, -1)
    world = image.affine[:3, :3] @ indices + image.affine[:3, 3:]
    low, high = world.min(axis=1, keepdims=True), world.max(axis=1, keepdims=True)
    left, front, up = (world - low) / np.maximum(high - low, 1e-9)
    label = np.zeros(world.shape[1], dtype=np.uint8)
    label[(left > 0.2) & (left < 0.7) & (front > 0.3) & (front < 0.6 + 0.3 * left)] = 1
    label[(left > 0.75) & (front < 0.5) & (up > 0.3)] = 2
    return label.reshape(image.shape)


def segmentation(sources: list[Dataset], made: DicomVolume, label: NDArray[np.uint8], kind: str) -> Dataset:
    """Writes a label (X, Y, Z) as what a hospital's viewer would have stored on the original series."""
    frame = sources[0].FrameOfReferenceUID
    volume = hd.Volume(label.transpose(2, 1, 0), made.geometry.affine, "PATIENT", frame)
    syntax = RLELossless if kind == "LABELMAP" else ExplicitVRLittleEndian
    with quiet():
        return seg_of(sources, volume, ("Front", "Back"), segmentation_type=kind, transfer_syntax_uid=syntax)


def with_what_highdicom_needs(source: Dataset) -> Dataset:
    for keyword in ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber", "StudyID"):
        if keyword not in source:
            setattr(source, keyword, "")
    source.SpecificCharacterSet = "ISO_IR 100"
    return source


def there_and_back(images: Path, label_folder: Path, kind: str) -> None:
    for files in find_series(images).series:
        if files.modality == "SEG" or len(files.paths) < 2:
            continue
        made = volume_of(deidentified(files))
        label = drawn_on(made.volume)
        assert set(np.unique(label)) == {0, 1, 2}
        sources = [with_what_highdicom_needs(dcmread(path)) for path in files.paths]
        folder = store(label_folder / str(len(list(label_folder.glob("*")))), segmentation(sources, made, label, kind))
        image, seg = deidentified(files), deidentified(find_series(folder).series[0], NAMES)
        assert np.array_equal(label_of(seg, volume_of(image), image, NAMES), label)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_generated_series_in_every_orientation(tmp_path: Path, direction: str, kind: str) -> None:
    there_and_back(store(tmp_path / "images", *image_slices(direction)), tmp_path / "labels", kind)


@pytest.mark.parametrize("folder", REAL)
def test_real_series(data_folder: Path, tmp_path: Path, folder: str) -> None:
    there_and_back(data_folder / folder, tmp_path, "BINARY")


def outlined(files: SeriesFiles, made: DicomVolume, label: NDArray[np.uint8]) -> Dataset:
    from skimage.measure import find_contours

    contours: dict[str, list[NDArray[np.float64]]] = {"Front": [], "Back": []}
    for name, code in zip(contours, (1, 2), strict=True):
        for index, plane in enumerate((label == code).transpose(2, 1, 0)):
            for line in find_contours(np.pad(plane, 1).astype(float), 0.5):
                points = np.column_stack([np.full(len(line), index), line - 1, np.ones(len(line))])
                contours[name].append((points @ made.geometry.affine.T)[:, :3])
    return rtstruct_of([dcmread(files.paths[0])], contours)


@pytest.mark.parametrize("direction", ["axial", "reversed", "twice oblique"])
def test_structure_sets_of_generated_series(tmp_path: Path, direction: str) -> None:
    folder = store(tmp_path, *image_slices(direction))
    files = find_series(folder).series[0]
    made = volume_of(deidentified(files))
    store(folder, outlined(files, made, drawn_on(made.volume)))
    image, structures = paired(folder, NAMES)
    assert np.array_equal(label_of(structures, volume_of(image), image, NAMES), drawn_on(made.volume))


def test_a_real_pair_is_found_and_read(data_folder: Path, tmp_path: Path) -> None:
    place = data_folder / "dicom_seg_rt/dcmqi/segmentations/24x38x3"
    for path in (*(place / "image").iterdir(), place / "seg/label.seg"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    image, seg = paired(tmp_path, {"liver": ("liver",)})
    label = label_of(seg, volume_of(image), image, {"liver": ("liver",)})
    assert label.sum() == 315  # as the NRRD file beside it says
