"""A manifest is believed only if it is whole, consistent and names nothing outside its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.manifest import (
    MANIFEST,
    FileHashes,
    Manifest,
    ManifestCase,
    RefusedCase,
    manifest_of,
    read_manifest,
    write_manifest,
)

HASHES = FileHashes(image="a" * 64, label="b" * 64, sidecar="c" * 64)
NAMES = ("case-000000000002", "case-000000000001", "case-000000000003")


def cases(*names: str) -> list[ManifestCase]:
    return [ManifestCase(case=name, patient=NAMES[0], split="training", sha256=HASHES) for name in names]


def made(*names: str, settings: str = "d" * 64) -> Manifest:
    refused = [RefusedCase(case=NAMES[2], patient=NAMES[2], reason="crashed", message="it crashed")]
    return manifest_of({"liver": 1}, settings, "0" * 16, cases(*names), refused, {"not_dicom": 2})


def test_the_order_does_not_matter_and_everything_else_does(tmp_path: Path) -> None:
    manifest = made(*NAMES[:2])
    assert made(*reversed(NAMES[:2])) == manifest
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert made(NAMES[0]).cohort_sha256 != manifest.cohort_sha256
    assert made(*NAMES[:2], settings="e" * 64).cohort_sha256 != manifest.cohort_sha256


def spoil(tmp_path: Path, change: Any) -> None:
    write_manifest(tmp_path, made(*NAMES[:2]))
    content = json.loads((tmp_path / MANIFEST).read_text())
    change(content)
    (tmp_path / MANIFEST).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["cases"].pop(),
        lambda content: content["cases"].reverse(),
        lambda content: content["cases"][0]["sha256"].update(image="f" * 64),
        lambda content: content["cases"][0].update(split="test"),
        lambda content: content["cases"][0].update(case="../../etc/passwd"),
        lambda content: content["cases"][0].update(patient="DOE"),
        lambda content: content["cases"][0].update(path="/etc/passwd"),
        lambda content: content["cases"].append(content["cases"][0]),
        lambda content: content["refused"][0].update(case=NAMES[0]),
        lambda content: content["refused"][0].update(reason="Because <b>"),
        lambda content: content.update(schema_version=2),
        lambda content: content.pop("classes"),
        lambda content: content.pop("key_check"),
        lambda content: content.update(key_check="a key"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(change: Any, tmp_path: Path) -> None:
    spoil(tmp_path, change)
    with pytest.raises(CohortError, match="run `fedvoxel cohort build` again"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_no_json_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="not built yet"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(CohortError, match="cannot be read as JSON"):
        read_manifest(tmp_path)
