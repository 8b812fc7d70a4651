"""The bundle in a package is one that MONAI's own commands accept, offline, and that does what FedVoxel does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedvoxel.errors import PackageError
from fedvoxel.export.package import Package, open_package
from fedvoxel.export.unpacking import unpack_package
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.plan import prepare
from fedvoxel.volumes.volume import LabelledVolume, Volume
from tests.export.exported_job import exported
from tests.export.package_sample import sample_package, sample_trust
from tests.export.throwaway_root import NOW
from tests.finished_job import blob_task, initial_weights
from tests.training.conftest import write_blobs

CONFIGS = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle of the exported job."""
    folder = tmp_path_factory.mktemp("unpacked") / "model"
    unpack_package(exported(), folder)
    return folder / "bundle"


def monai(bundle: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of MONAI's in a bundle, with no way to the network."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "monai.bundle", *words]
    return subprocess.run(
        command, cwd=bundle, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False, timeout=300
    )


def test_monai_verifies_the_metadata_offline_with_the_schema_in_the_bundle(bundle: Path) -> None:
    words = ("verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", "configs/metadata_schema.json")
    ran = monai(bundle, *words)
    assert ran.returncode == 0 and "metadata is verified with no error" in ran.stdout + ran.stderr, ran.stderr


@pytest.mark.parametrize("key", ["monai_version", "network_data_format", "task"])
def test_the_schema_bites(bundle: Path, tmp_path: Path, key: str) -> None:
    import jsonschema

    schema = json.loads((bundle / "configs" / "metadata_schema.json").read_text())
    values = json.loads((bundle / "configs" / "metadata.json").read_text())
    jsonschema.validate(values, schema)
    for wrong in ({name: value for name, value in values.items() if name != key}, values | {key: 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.slow
def test_monai_finds_the_network_as_the_metadata_says(bundle: Path) -> None:
    ran = monai(bundle, "verify_net_in_out", "--net_id", "network_def", *CONFIGS)
    assert ran.returncode == 0 and "verified with no error" in ran.stdout + ran.stderr, ran.stderr


@pytest.mark.slow
def test_monai_runs_the_bundle_and_labels_as_the_trained_model_does(bundle: Path, tmp_path: Path) -> None:
    write_blobs(tmp_path, 2)
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    for index in (0, 1):
        (tmp_path / f"image{index}.nii.gz").rename(images / f"image{index}.nii.gz")
    folders = ("--dataset_dir", str(images), "--output_dir", str(labels))
    ran = monai(bundle, "run", "--bundle_root", ".", *CONFIGS, *folders)
    assert ran.returncode == 0, ran.stderr
    task = blob_task()
    segmenter = Segmenter(task.training, task.classes, "cpu")
    segmenter.load(initial_weights(task))
    for index in (0, 1):
        volume = Volume(*read_nifti(images / f"image{index}.nii.gz", "image", "missing_image"))
        case = prepare(LabelledVolume("case", volume, np.zeros(volume.shape, np.uint8)), task.plan)
        found = np.asarray(nibabel.load(labels / f"image{index}_seg.nii.gz").dataobj)
        assert np.mean(found == segmenter.predict(case.image)) > 0.999


# ------------------------------------------------------------------ unpacking


def test_unpacking_writes_what_was_signed(tmp_path: Path) -> None:
    package = sample_package(tmp_path, members={"bundle/docs/README.md": b"read me"})
    unpack_package(package, tmp_path / "there")
    for name in package.names:
        assert (tmp_path / "there" / name).read_bytes() == package.member(name)


def test_nothing_is_left_of_a_package_that_changed_after_it_was_opened(tmp_path: Path) -> None:
    package: Package = open_package(sample_package(tmp_path).path, sample_trust(), NOW)
    content = bytearray(package.path.read_bytes())
    content[content.index(b"# Bright")] ^= 1
    package.path.write_bytes(content)
    with pytest.raises(PackageError):
        unpack_package(package, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == [package.path.name]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    package = sample_package(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(PackageError, match="there exists"):
        unpack_package(package, tmp_path / "there")
