"""Images that nobody vouches for: NIfTI, DICOM headers and pixels, segmentations, structure sets, tables."""

import gzip
import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from hypothesis import strategies as st
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from fedvoxel.dicom.glance import glance
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.multipart import boundary_of, parts
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import find_series
from fedvoxel.dicom.study_series import read_study_series
from fedvoxel.errors import FedVoxelError
from fedvoxel.volumes.dicom_label import label_of
from fedvoxel.volumes.dicom_volume import volume_of_study
from fedvoxel.volumes.nifti_file import claimed_voxels, read_nifti
from tests.dicom.phantom import NAME, PATIENT, Phantom
from tests.fuzz.mutation import mutated_bytes
from tests.fuzz.target import Target, UnwantedError
from tests.volumes.dicom_cases import cleaned, grid_of, image_slices, label_voxels, seg_of

_SECRETS = (NAME, PATIENT)


def _tells_nothing(error: FedVoxelError) -> None:
    if any(secret in str(error) for secret in _SECRETS):
        raise UnwantedError("a message that quotes a patient")


def _niftis() -> tuple[bytes, ...]:
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    images = (nibabel.Nifti1Image(voxels, np.diag([1.0, 1.2, 2.0, 1.0])), nibabel.Nifti2Image(voxels, np.eye(4)))
    return tuple(image.to_bytes() for image in images)


NIFTIS = _niftis()


def _nifti(content: bytes, folder: Path) -> None:
    for name, written in (("a.nii", content), ("b.nii.gz", gzip.compress(content, 1))):
        (folder / name).write_bytes(written)
        claimed_voxels(folder / name)
    read_nifti(folder / "a.nii", "image", "no_image")
    read_nifti(folder / "b.nii.gz", "image", "no_image")


def _packed_nifti(content: bytes, folder: Path) -> None:
    (folder / "a.nii.gz").write_bytes(content)
    claimed_voxels(folder / "a.nii.gz")
    read_nifti(folder / "a.nii.gz", "image", "no_image")


_PACKED = (*(gzip.compress(one) for one in NIFTIS), gzip.compress(NIFTIS[0] + bytes(200_000_000)))


# ------------------------------------------------------------------ DICOM


def _file(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    if "file_meta" not in dataset.__dict__:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


@cache
def dicom_files() -> tuple[bytes, ...]:
    """One slice plain and packed, and an image of several frames."""
    with quiet():
        phantom = Phantom(shape=(3, 12, 10))
        one = phantom.slices()[1]
        packed = dcmread(io.BytesIO(_file(one)))
        packed.compress(RLELossless)
        return _file(one), _file(packed), _file(phantom.enhanced())


_EDITS: tuple[tuple[str, Any], ...] = (
    *(("Rows", 65535), ("Rows", 0), ("Columns", 1), ("NumberOfFrames", 99999), ("BitsAllocated", 8)),
    *(("BitsAllocated", 64), ("BitsStored", 0), ("SamplesPerPixel", 3), ("PixelRepresentation", 7)),
    *(("PixelSpacing", [0.0, 0.0]), ("PixelSpacing", [1e-30, 1e30]), ("ImageOrientationPatient", [0.0] * 6)),
    *(("ImagePositionPatient", [1e38, -1e38, 0.0]), ("RescaleSlope", 0.0), ("RescaleSlope", 1e30)),
    *(("Modality", ""), ("PhotometricInterpretation", "PALETTE COLOR"), ("SOPClassUID", "1.2.3"), ("PixelData", b"")),
    *(("SeriesInstanceUID", "x"), ("StudyInstanceUID", ""), ("InstanceNumber", -1), ("SpecificCharacterSet", "x")),
)


@st.composite
def _edited(draw: st.DrawFn) -> bytes:
    """A file of which elements were changed or taken out, and perhaps bytes."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(io.BytesIO(draw(st.sampled_from(dicom_files()))))
        for _ in range(draw(st.integers(1, 3))):
            keyword, value = draw(st.sampled_from(_EDITS))
            if draw(st.integers(0, 3)) == 0:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)
        try:
            content = _file(dataset)
        except Exception:  # not even pydicom writes such a one
            content = dicom_files()[0]
    return draw(mutated_bytes((content,))) if draw(st.integers(0, 3)) == 0 else content


def _dicom(content: bytes, folder: Path) -> None:
    path = folder / NAME / "1.dcm"
    path.parent.mkdir()
    path.write_bytes(content)
    glance(path, frozenset({0x0020000D, 0x7FE00010}))
    try:
        header = read_header(path)
        stored_pixels(path, header)
        for series in find_series(folder).series:
            volume_of_study(read_study_series(series))
    except FedVoxelError as error:
        _tells_nothing(error)
        raise


@cache
def _slices() -> list[Dataset]:
    return image_slices()


@cache
def _seg() -> bytes:
    return _file(seg_of(_slices(), label_voxels()))


def _segmentation(content: bytes, folder: Path) -> None:
    path = folder / "seg.dcm"
    path.write_bytes(content)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = read_header(path)
        header.PixelData = None
        pixels = stored_pixels(path, header)
        source = cleaned(header)
        object.__setattr__(source, "headers", (header,))
        given = _WithPixels(source, pixels)
        label_of(given, grid_of(_slices()), cleaned(*_slices()), {"front": ("Front",), "back": ("Back",)}, False)


class _WithPixels:
    """Has what label readers use of a series, with pixels as our own reader gives them."""

    def __init__(self, source: Any, pixels: Any) -> None:
        self.modality, self.series_uid, self.headers = source.modality, source.series_uid, source.headers
        self._pixels = pixels

    def stored_pixels(self, index: int) -> Any:
        return self._pixels


_MULTIPART = b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--b\r\nContent-Length: 2\r\n\r\nxx\r\n--b--\r\n"


def _multipart(content: bytes, folder: Path) -> None:
    boundary_of(f"multipart/related; boundary={content[:40].decode('latin-1')}")
    for size in (1, 7, 4096):
        pieces = (content[place : place + size] for place in range(0, len(content), size))
        for part in parts(pieces, b"b"):
            for _ in part:
                pass


TARGETS = (
    Target("nifti", "images", mutated_bytes(NIFTIS), _nifti, bytes_origins=NIFTIS),
    Target("packed_nifti", "images", mutated_bytes(_PACKED), _packed_nifti),
    Target(
        "dicom",
        "images",
        st.deferred(lambda: st.one_of(mutated_bytes(dicom_files()), _edited())),
        _dicom,
        bytes_origins=dicom_files(),
    ),
    Target("segmentation", "images", st.deferred(lambda: mutated_bytes((_seg(),))), _segmentation),
    Target("multipart", "images", mutated_bytes((_MULTIPART,)), _multipart, bytes_origins=(_MULTIPART,)),
)
