"""What a built cohort's files say to viewers that read one of NIfTI's two methods only."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedvoxel.volumes.nifti_writer import write_nifti

SCANNER = 1
TURNED = np.array([[0.0, -1.2, 0.0, 4.0], [1.1, 0.0, 0.0, -7.0], [0.0, 0.0, 3.0, 9.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize("mirrored", [1.0, -1.0])
def test_both_methods_say_the_same_where_the_axes_are_at_right_angles(tmp_path: Path, mirrored: float) -> None:
    affine = TURNED @ np.diag([1.0, 1.0, mirrored, 1.0])
    write_nifti(tmp_path / "any.nii.gz", np.ones((3, 4, 5), np.float32), affine)
    header = nibabel.Nifti1Image.from_filename(tmp_path / "any.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (SCANNER, SCANNER)
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-5)
    np.testing.assert_allclose(header.get_qform(), affine, atol=1e-5)


def test_a_tilted_gantry_has_no_quaternion(tmp_path: Path) -> None:
    tilted = TURNED.copy()
    tilted[0, 2] = 0.5
    write_nifti(tmp_path / "any.nii.gz", np.ones((3, 4, 5), np.float32), tilted)
    header = nibabel.Nifti1Image.from_filename(tmp_path / "any.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (SCANNER, 0)
    np.testing.assert_allclose(header.get_sform(), tilted, atol=1e-5)
