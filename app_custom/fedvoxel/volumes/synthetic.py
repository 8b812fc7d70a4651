"""Makes simulated hospitals out of the ICBM152 average brain, where there is no data and no network.

Each case is the average brain, turned, scaled and bent at random, seen by its hospital's scanner. The same seed
makes the same files, byte for byte, with the same versions of numpy and scipy. Nothing here is patient data.
"""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.records.atomic import write_bytes, write_text
from fedvoxel.volumes.brain_template import COPYRIGHT, BrainTemplate, load_brain_template
from fedvoxel.volumes.resampling import reorient
from fedvoxel.volumes.scanner_style import STYLES, ScannerStyle, scan
from fedvoxel.volumes.volume import Affine

HOSPITALS = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
CLASSES = {"grey_matter": 1, "white_matter": 2}
_FIELD_OF_VIEW_MM = np.array((172.0, 208.0, 180.0))
_BEND_MM = 5.0
_BEND_POINTS = (5, 6, 5)
_NOTICE = (
    "These are simulated images, not patient data: deformed copies of the ICBM152 average brain (2009a nonlinear "
    "symmetric) with simulated scanner effects. Labels: 1 grey matter, 2 white matter.\n\n" + COPYRIGHT + "\n"
)


def make_brain_demo(
    out: Path,
    hospitals: tuple[str, ...] = HOSPITALS,
    cases_per_hospital: int = 18,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Writes image and label pairs and a cases.csv for each hospital, and a notice.

    Args:
        out: The folder to write to; what is there under the same names is replaced.
        hospitals: The hospitals' names, each a folder; the scanners' styles are given in turn.
        cases_per_hospital: How many cases each hospital has.
        seed: Decides the heads and the scanners' noise.
        progress: Called with (done, total) after each case.

    Returns:
        Each hospital's cases.csv, in the layout that a csv cohort reads.

    Raises:
        ConfigError: The template is not installed.
    """
    template = load_brain_template()
    write_text(out / "README.txt", _NOTICE)
    tables: dict[str, Path] = {}
    for index, hospital in enumerate(hospitals):
        style = STYLES[index % len(STYLES)]
        rows = []
        for number in range(1, cases_per_hospital + 1):
            random = np.random.default_rng((seed, index, number))
            rows.append(_write_case(out / hospital, f"head_{number:03d}", template, style, random))
            if progress is not None:
                progress(index * cases_per_hospital + number, len(hospitals) * cases_per_hospital)
        tables[hospital] = _write_table(out / hospital / "cases.csv", hospital, rows)
    return tables


def brain_demo_cohort(table: Path) -> dict[str, Any]:
    """Returns the description of a simulated hospital's cohort for its site file."""
    # A third is held back: with 18 cases, every hospital then has at least five that nobody trained on.
    split = {"validation": 0.1, "test": 0.35}
    return {"source": {"layout": "csv", "table": str(table)}, "classes": dict(CLASSES), "split": split}


def make_case(
    template: BrainTemplate, style: ScannerStyle, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Affine]:
    """Makes one simulated scan.

    Returns:
        The image float32 (X, Y, Z), the label uint8 (X, Y, Z), and their affine (4, 4) to RAS millimetres.
    """
    from scipy import ndimage

    shape, affine = _scanner_grid(style)
    places = _head_places(shape, affine, template, random)
    t1, grey, white = (ndimage.map_coordinates(map_, places, order=1) for map_ in _maps(template))
    label = np.argmax([1.0 - grey - white, grey, white], axis=0).astype(np.uint8)
    image = scan(t1, style, random)
    turned, turned_affine = reorient(image, affine, style.orientation)
    return turned, reorient(label, affine, style.orientation)[0], turned_affine


def _maps(template: BrainTemplate) -> tuple[NDArray[np.float32], ...]:
    return template.t1, template.grey, template.white


def _scanner_grid(style: ScannerStyle) -> tuple[tuple[int, ...], Affine]:
    """Returns the shape and the affine of the scanner's grid, centred on the world's origin."""
    shape = np.ceil(_FIELD_OF_VIEW_MM / style.spacing_mm).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = _rotation(np.radians([style.tilt_degrees, 0.0, 0.0])) @ np.diag(style.spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((shape - 1) / 2.0)
    return tuple(int(size) for size in shape), affine


def _head_places(
    shape: tuple[int, ...], affine: Affine, template: BrainTemplate, random: np.random.Generator
) -> NDArray[np.float64]:
    """Returns the template index (3, X, Y, Z) that each voxel of a random head shows."""
    from scipy import ndimage

    world = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3].reshape(3, 1, 1, 1)
    turn = _rotation(np.radians(random.normal(0.0, 4.0, 3))) @ np.diag(random.normal(1.0, 0.05, 3))
    moved = np.einsum("ij,jxyz->ixyz", turn, world) + random.normal(0.0, 3.0, 3).reshape(3, 1, 1, 1)
    factors = [size / points for size, points in zip(shape, _BEND_POINTS, strict=True)]
    bend = [ndimage.zoom(random.normal(0.0, _BEND_MM, _BEND_POINTS), factors, order=3) for _ in range(3)]
    head = moved + np.stack(bend) + template.centre_mm.reshape(3, 1, 1, 1)
    back = np.linalg.inv(template.affine)
    places = np.einsum("ij,jxyz->ixyz", back[:3, :3], head) + back[:3, 3].reshape(3, 1, 1, 1)
    return np.asarray(places, dtype=np.float64)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("xyz", angles).as_matrix(), dtype=np.float64)


def _write_case(
    folder: Path, name: str, template: BrainTemplate, style: ScannerStyle, random: np.random.Generator
) -> dict[str, str]:
    image, label, affine = make_case(template, style, random)
    row = {"case": name, "patient": name, "image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz"}
    for key, voxels in (("image", image), ("label", label)):
        write_bytes(folder / row[key], _nifti_bytes(voxels, affine))
    return row


def _nifti_bytes(voxels: NDArray[Any], affine: Affine) -> bytes:
    from nibabel.nifti1 import Nifti1Image

    # Without a time stamp, the same voxels are the same bytes.
    return gzip.compress(Nifti1Image(voxels, affine).to_bytes(), compresslevel=6, mtime=0)


def _write_table(path: Path, hospital: str, rows: list[dict[str, str]]) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, ("case", "patient", "image", "label"), lineterminator="\n")
    table.writeheader()
    table.writerows(
        {**row, "case": f"{hospital}_{row['case']}", "patient": f"{hospital}_{row['case']}"} for row in rows
    )
    write_text(path, text.getvalue())
    return path
