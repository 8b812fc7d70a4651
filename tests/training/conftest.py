"""A tiny cohort of made-up blobs and a small task to train on it."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.volumes.site import SITE_FILE

SIZE = (16, 16, 16)


def training_section(**changes: Any) -> dict[str, Any]:
    """Returns a training section that takes milliseconds a step."""
    section: dict[str, Any] = {
        "network": {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "num_res_units": 0}},
        "optimizer": {"name": "AdamW", "learning_rate": 0.01},
        "augmentation": {"shift_voxels": 1, "noise_std": 0.05, "intensity_scale": 0.1, "gamma": 0.1, "flip_axes": [0]},
        "sampling": {"kind": "whole", "size": SIZE},
        "inference": {"roi_size": SIZE},
        "seed": 7,
    }
    return section | changes


def write_blobs(folder: Path, cases: int) -> None:
    """Writes `cases` volumes with one bright blob each, and their table."""
    rows = ["case,patient,image,label"]
    random = np.random.default_rng(3)
    for index in range(cases):
        centre = random.integers(5, 11, 3)
        grid = np.indices(SIZE).transpose(1, 2, 3, 0)
        label = (np.linalg.norm(grid - centre, axis=-1) < 3.5).astype(np.uint8)
        image = (random.normal(size=SIZE) * 0.2 + label).astype(np.float32)
        for kind, voxels in (("image", image), ("label", label)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{kind}{index}.nii.gz")
        rows.append(f"blob{index},blob{index},image{index}.nii.gz,label{index}.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")


def write_site(folder: Path, cases: int = 12, **cohort: Any) -> Path:
    """Writes blobs and a site file that describes them; returns the site file."""
    write_blobs(folder, cases)
    description = {
        "source": {"layout": "csv", "table": "cases.csv"},
        "classes": {"blob": 1},
        "split": {"validation": 0.2, "test": 0.2},
    }
    site = {"schema_version": 1, "pseudonym_key": "ab" * 32, "cohorts": {"blobs": description | cohort}}
    path = folder / SITE_FILE
    path.write_text(json.dumps(site | {"compute": {"threads": 1, "device": "cpu"}}))
    return path


def make_setup(site_file: Path, **training: Any) -> TrainerSetup:
    """Returns a trainer's set-up on the blobs of `site_file`."""
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section(**training)}
    return TrainerSetup(
        task=parse_config(TrainingTask, task, "the test's task"),
        site="hospital-a",
        site_file=str(site_file),
        state_folder=str(site_file.parent),
    )


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """A site with twelve blobs."""
    return write_site(tmp_path)
