"""The systems that read the series, each as stages: what finds the files' order, and what makes the array.

Every stage takes what the one before returned; the first takes the folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Stage = Callable[[Any], Any]
HEADERS, VOLUME, DEIDENTIFY, ALL = "headers", "volume", "de-identification", "all"


def stages_of(system: str) -> list[tuple[str, Stage]]:
    """Returns a system's stages; two of the same name are counted together."""
    return {"ours": _ours, "simpleitk": _simpleitk, "dicom2nifti": _dicom2nifti, "dcm2niix": _dcm2niix}[system]()


def _ours() -> list[tuple[str, Stage]]:
    from fedvoxel.deid.keys import DeidKeys
    from fedvoxel.deid.policy import DeidPolicy
    from fedvoxel.deid.series import deidentify_series
    from fedvoxel.dicom.header import read_header
    from fedvoxel.dicom.series import find_series
    from fedvoxel.volumes.dicom_volume import volume_of

    policy, keys = DeidPolicy(project="benchmark"), DeidKeys.of("00" * 32, "benchmark")
    return [
        (HEADERS, lambda folder: find_series(folder).series[0]),
        (VOLUME, lambda files: (files, [read_header(path) for path in files.paths])),
        (DEIDENTIFY, lambda read: deidentify_series(*read, policy, keys, frozenset())),
        (VOLUME, lambda series: volume_of(series).volume.voxels),
    ]


def _simpleitk() -> list[tuple[str, Stage]]:
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageSeriesReader

    def order(folder: Path) -> Any:
        (series,) = reader.GetGDCMSeriesIDs(str(folder))
        return reader.GetGDCMSeriesFileNames(str(folder), series)

    def read(names: Any) -> Any:
        image = sitk.ReadImage(names, sitk.sitkFloat32)
        return sitk.GetArrayViewFromImage(image), image

    return [(HEADERS, order), (VOLUME, read)]


def _dicom2nifti() -> list[tuple[str, Stage]]:
    from dicom2nifti import common, convert_generic

    def convert(datasets: Any) -> Any:
        return convert_generic.dicom_to_nifti(datasets, None)["NII"].get_fdata(dtype="float32")

    return [(HEADERS, lambda folder: common.read_dicom_directory(str(folder))), (VOLUME, convert)]


def _dcm2niix() -> list[tuple[str, Stage]]:
    """Finds, reads and writes in one program; its memory is that of the program."""
    program = str(Path(sys.executable).parent / "dcm2niix")

    def convert(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
            command = [program, "-z", "n", "-b", "n", "-f", "image", "-o", made, str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))

    return [(ALL, convert)]
