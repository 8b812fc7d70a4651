"""The ICBM152 average brain that the nilearn package ships: T1 contrast, grey and white matter.

Read from nilearn's installed files without importing nilearn. The template is an average of 152 adults: nobody's
scan. It is smoothed for sampling on a grid of about 4 to 5 mm.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.volume import Affine

_FOLDER = Path("datasets") / "data"
_FILES = {name: f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")}
_HIGHEST = 255.0
_SMOOTHING_MM = 1.6  # what a voxel of 4 to 5 mm cannot hold, at the template's 1 mm

COPYRIGHT = (
    "Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, "
    "McGill University. Permission to use, copy, modify, and distribute this software and its documentation for "
    "any purpose and without fee is hereby granted, provided that the above copyright notice appear in all copies. "
    "The authors and McGill University make no representations about the suitability of this software for any "
    'purpose. It is provided "as is" without express or implied warranty. The authors are not responsible for any '
    "data loss, equipment damage, property loss, or injury to subjects or patients resulting from the use or misuse "
    "of this software package."
)


@dataclass(frozen=True, eq=False)
class BrainTemplate:
    """Is the smoothed average brain.

    Attributes:
        t1: float32 (X, Y, Z), 0 to 1, skull removed.
        grey: float32 (X, Y, Z), share of grey matter, 0 to 1.
        white: float32 (X, Y, Z), share of white matter, 0 to 1.
        affine: float64 (4, 4), voxel indices to RAS millimetres.
        centre_mm: The middle of the brain's bounding box, RAS millimetres.
    """

    t1: NDArray[np.float32]
    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    affine: Affine
    centre_mm: NDArray[np.float64]


def load_brain_template() -> BrainTemplate:
    """Reads the template from the installed nilearn package.

    Raises:
        ConfigError: nilearn is not installed, or does not hold the template.
    """
    from scipy import ndimage

    maps, affine = {}, np.eye(4)
    for name, path in _template_files().items():
        voxels, affine = read_nifti(path, "image", "missing_image")
        maps[name] = ndimage.gaussian_filter(voxels.astype(np.float32) / _HIGHEST, _SMOOTHING_MM)
    inside = np.argwhere(maps["gm"] + maps["wm"] > 0.5)
    middle = (inside.min(axis=0) + inside.max(axis=0)) / 2.0
    return BrainTemplate(maps["t1"], maps["gm"], maps["wm"], affine, affine[:3, :3] @ middle + affine[:3, 3])


def _template_files() -> dict[str, Path]:
    found = find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise ConfigError("the brain demo needs nilearn's ICBM152 template: pip install -c constraints.txt '.[demo]'")
    folder = Path(found.submodule_search_locations[0]) / _FOLDER
    files = {name: folder / file_name for name, file_name in _FILES.items()}
    if not all(path.is_file() for path in files.values()):
        raise ConfigError("the installed nilearn does not hold the ICBM152 template; install nilearn 0.14")
    return files
