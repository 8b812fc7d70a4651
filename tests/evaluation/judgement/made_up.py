"""A package whose model goes by brightness, and a site with scans on which it is right, or wrong on purpose.

Brightness 2 is the first structure, 4 the second. A scan has the mean 0 and the variance 1, whatever is in it, so that
the plan's scaling leaves it as it is.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from fedvoxel.export.package import Package
from tests.export.package_sample import bright_onnx, sample_package, sample_root
from tests.volumes.scans import KEY, write_nifti

SHAPE = (20, 24, 18)
AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])
NAME = "MUSTERMANN^ERIKA"
STRUCTURES = ("anterior", "posterior")
PLAN = {"intensity": {"lower_percentile": 0, "upper_percentile": 100}}
STEP = 2.0
BREAKS_AT = 5.0


def package(folder: Path, version: str = "1.0.0", **changes: Any) -> Package:
    """Writes the package."""
    values = {"plan": PLAN, "input": INPUT, "version": version} | changes
    members = {"model.onnx": bright_onnx(1 + len(STRUCTURES), STEP)} | values.pop("members", {})
    return sample_package(folder, members=members, **values)


def breaking_package(folder: Path, **changes: Any) -> Package:
    """Writes the package of a model that gives no numbers where an image is brighter than `BREAKS_AT`."""
    values = {"plan": PLAN, "input": INPUT, "version": "0.9.0"} | changes
    model = onnx.load_from_string(bright_onnx(1 + len(STRUCTURES), STEP))
    graph = model.graph
    graph.node[0].output[0] = "found"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(BREAKS_AT, np.float32), "most"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(0, np.float32), "zero"))
    for kind, inputs, output in (
        ("Sub", ["most", "image"], "left"),
        ("Sqrt", ["left"], "root"),  # of less than nothing: no number
        ("Mul", ["root", "zero"], "nothing"),
        ("Add", ["found", "nothing"], "logits"),
    ):
        graph.node.append(onnx.helper.make_node(kind, inputs, [output]))
    return sample_package(folder, members={"model.onnx": model.SerializeToString()}, **values)


INPUT = {
    "modalities": ["MR"],
    "body_parts": ["HEAD", "BRAIN"],
    "spacing_mm": {"low": 0.8, "high": 1.6},
    "extent_mm": {"low": 15, "high": 70},
}


def root_file(folder: Path) -> Path:
    """Writes the root that opens it."""
    from cryptography.hazmat.primitives.serialization import Encoding

    path = folder / "rootCA.pem"
    path.write_bytes(sample_root().certificate.public_bytes(Encoding.PEM))
    return path


def truth(seed: int = 0) -> np.ndarray:
    """Two boxes side by side, of sizes that vary."""
    grow = seed % 4
    label = np.zeros(SHAPE, np.uint8)
    label[4 : 9 + grow, 6:13, 5:11] = 1
    label[9 + grow : 15, 6:13, 5:11] = 2
    return label


def image(shown: np.ndarray, seed: int = 0) -> np.ndarray:
    """A scan in which the model finds exactly `shown`."""
    grey, around = STEP * shown.astype(np.float64), shown == 0
    count = np.count_nonzero(around)
    middle = -grey.sum() / count
    reach = np.sqrt((grey.size - np.sum(grey**2)) / count - middle**2)
    signs = np.random.default_rng(seed).permutation(np.arange(count) % 2) * 2 - 1
    grey[around] = middle + reach * signs
    return grey.astype(np.float32)


def write_site(folder: Path, scans: list[tuple[np.ndarray, np.ndarray]], **cohort: Any) -> Path:
    """Writes a site's kit with a cohort `brains` of (image, label) pairs, each a patient; returns the site's file."""
    local = folder / "local"
    local.mkdir(parents=True)
    rows = []
    for number, (grey, label) in enumerate(scans):
        case = f"{NAME}-{number}"
        paths = [
            write_nifti(folder / f"{case}_{what}.nii.gz", voxels, AFFINE)
            for what, voxels in (("image", grey), ("label", label))
        ]
        sidecar = {
            "Manufacturer": "Alpha" if number % 2 else "Beta",
            "MagneticFieldStrength": 3.0,
            "PatientSex": "FM"[number % 2],
            "PatientName": NAME,
        }
        (folder / f"{case}_image.json").write_text(json.dumps(sidecar))
        rows.append((case, *paths))
    with (local / "brains.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("case", "image", "label"), *rows])
    source = {"layout": "csv", "table": "brains.csv"}
    split = {"validation": 0.0, "test": 1.0}
    brains = {"source": source, "classes": {"anterior": 1, "posterior": 2}, "split": split} | cohort
    path = local / "fedvoxel_site.json"
    path.write_text(json.dumps({"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"brains": brains}}))
    return path


def right_scans(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scans on which the model is right, all but a few voxels."""
    scans = []
    for number in range(count):
        shown = truth(number)
        shown[4, 6, 5 : 5 + number % 5] = 0
        scans.append((image(shown, number), truth(number)))
    return scans
