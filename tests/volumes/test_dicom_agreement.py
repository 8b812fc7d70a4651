"""On real series our volumes are those of dcm2niix, SimpleITK and highdicom: voxel for voxel, affine to 1e-4 mm."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import SeriesFiles
from fedvoxel.volumes.dicom_volume import volume_of
from fedvoxel.volumes.volume import Volume
from tests.volumes.clean_series import clean, only_files

Grid = tuple[NDArray[np.generic], NDArray[np.float64]]
"""Voxels (X, Y, Z) and their affine (4, 4) to RAS millimetres."""

SERIES = [
    "hippocrop/Study1",
    "prostate3t/Prostate3T-03-0002",
    "prostatex/ProstateX-0000/4.000000-t2tsetra-00702",
    "prostatex/ProstateX-0000/7.000000-ep2ddifftraDYNDISTADC-48780",
    "prostatex/ProstateX-0000/9.000000-tfl3d PD reftra1.5x1.5t3-67276",
    "brain_tumour_siemens_study3/11-T1post-18670",
    "brain_tumour_siemens_study3/26401-T1prereg-52906",
    "brain_tumour_siemens_study3/36468-FLAIRreg-58706",
    "brain_tumour_siemens_study3/37830-T2reg-78532",
]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def by_dcm2niix(files: SeriesFiles, folder: Path) -> Grid:
    source = folder / "source"
    source.mkdir()
    for number, path in enumerate(files.paths):
        os.symlink(path, source / f"{number}.dcm")
    program = Path(sys.executable).parent / "dcm2niix"
    command = [program, "-z", "n", "-b", "n", "-f", "image", "-o", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.nii")
    image = nibabel.load(made)
    return np.asarray(image.dataobj), image.affine


def by_simpleitk(files: SeriesFiles, folder: Path) -> Grid:
    import SimpleITK as sitk  # noqa: N813

    first = files.paths[0]
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(first.parent), files.series_uid)
    image = sitk.ReadImage(names)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine


def by_highdicom(files: SeriesFiles, folder: Path) -> Grid:
    import pydicom

    with quiet():
        datasets = [pydicom.dcmread(path) for path in files.paths]
        volume = hd.get_volume_from_series(datasets, dtype=np.float64)
    return volume.array, LPS_TO_RAS @ volume.affine


def upright(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> Grid:
    """Turns the axes to the nearest of RAS, so that two grids can be laid on each other."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(voxels, dtype=np.float64), affine))
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize("reader", [by_dcm2niix, by_simpleitk, by_highdicom])
@pytest.mark.parametrize("name", SERIES)
def test_real_series_agree(
    data_folder: Path, tmp_path: Path, name: str, reader: Callable[[SeriesFiles, Path], Grid]
) -> None:
    files = only_files(data_folder / "dicom_studies" / name)
    ours: Volume = volume_of(clean(files)).volume
    voxels, affine = upright(ours.voxels, ours.affine)
    their_voxels, their_affine = upright(*reader(files, tmp_path))
    assert voxels.shape == their_voxels.shape
    np.testing.assert_array_equal(voxels, their_voxels)
    np.testing.assert_allclose(affine, their_affine, rtol=0, atol=1e-4)


def test_all_series_of_the_folder_are_compared(data_folder: Path) -> None:
    folders = {path.parent for path in (data_folder / "dicom_studies").rglob("*") if path.suffix in ("", ".dcm")}
    found = {
        folder.relative_to(data_folder / "dicom_studies").as_posix() for folder in folders if any(folder.glob("*.dcm"))
    }
    assert found == set(SERIES)
