"""Every odd, damaged or hostile file, alone and in its folder, ends in a volume or in a refusal that tells nothing.

No traceback, no warning, no hang, no memory beyond what a volume takes, and not a word of a header in what is said.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
import pytest

from fedvoxel.deid.faults import REASONS as DEID_REASONS
from fedvoxel.dicom.faults import REASONS as DICOM_REASONS
from fedvoxel.dicom.quiet import quiet
from fedvoxel.volumes.refusal import REASONS

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {*REASONS, *DICOM_REASONS, *DEID_REASONS, "volume", "pixels"}
LONGEST_S = 20.0
MOST_KIB = 400 * 2**10
SECRETS = (
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName", "StudyID"),
    *("ReferringPhysicianName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDescription"),
)

Outcomes = dict[int, list[tuple[str, str]]]
"""(outcome, text) of the series and the refused files of each folder, by its number."""


def ingest(folders: Sequence[Path], secrets: set[str]) -> Outcomes:
    """Takes folders in and requires of the process what must hold whatever they contain."""
    command = [sys.executable, "-W", "error", "-m", "tests.volumes.ingest_process", *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'app_custom'}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr[-2000:]
    *lines, (_, _, peak, _) = [json.loads(line) for line in done.stdout.splitlines()]
    assert int(peak) < MOST_KIB
    outcomes: Outcomes = defaultdict(list)
    for number, outcome, text, seconds in lines:
        assert outcome in KNOWN and seconds < LONGEST_S, (outcome, seconds)
        outcomes[number].append((outcome, text))
    said = done.stdout + done.stderr
    told = [secret for secret in secrets if secret in said]
    assert not told, f"{len(told)} values of headers were said"  # they are not repeated here either
    return outcomes


def secrets_of(folder: Path) -> set[str]:
    found = {str(path.name) for path in folder.rglob("*") if path.is_file() and len(path.name) > 5}
    for path in folder.rglob("*"):
        if path.is_file():
            found |= set(_values(path))
    return {value for value in found if len(value) > (6 if value.isdigit() else 4) and value.upper() != "DICOMDIR"}


def _values(path: Path) -> Iterator[str]:
    with quiet(), warnings.catch_warnings():
        try:
            header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            values = [str(header.get(keyword, "")) for keyword in SECRETS]
        except Exception:
            return
    for value in values:
        yield value
        yield from value.split("^")


def folders_with_files(root: Path) -> list[Path]:
    return sorted({path.parent for path in root.rglob("*") if path.is_file()} | {root})


def test_every_odd_file_alone_ends_in_a_refusal_or_a_volume(data_folder: Path, tmp_path: Path) -> None:
    root = data_folder / "dicom_odd"
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.parent != root)
    assert len(paths) == 236
    for number, path in enumerate(paths):
        (tmp_path / str(number)).mkdir()
        shutil.copyfile(path, tmp_path / str(number) / path.name)
    outcomes = ingest([tmp_path / str(number) for number in range(len(paths))], secrets_of(root))
    assert set(outcomes) == set(range(len(paths)))
    assert all(len(each) == 2 for each in outcomes.values())  # its pixels, and its series
    counts = Counter(outcome for each in outcomes.values() for outcome, _ in each)
    assert counts["pixels"] > 150 and counts["single_slice"] > 100, counts


@pytest.mark.parametrize("name", ["dicom_odd", "dicom_studies", "dicom_seg_rt"])
def test_every_folder_ends_in_refusals_or_volumes(data_folder: Path, name: str) -> None:
    folders = folders_with_files(data_folder / name)
    outcomes = ingest(folders, secrets_of(data_folder / name))
    assert set(outcomes) == set(range(len(folders)))


EXPECTED = {
    "dicom2nifti/failing/notavolume/001": "several_volumes",
    "dicom2nifti/failing/sliceincrement/001": "missing_slices",
    "dicom2nifti/generic/rgb/001": "sop_class_not_allowed",
    "dicom2nifti/generic/compressed_j2k/001": "volume",
    "dicom2nifti/generic/compressed_jpeg/001": "volume",
    "dicom2nifti/generic/compressed_rle/001": "volume",
    "made_from_hippocrop/missing_slice": "missing_slices",
    "made_from_hippocrop/one_slice_other_patient_id": "mixed_patients",
    "made_from_hippocrop/one_slice_short_pixel_data": "short_pixels",
    "made_from_hippocrop/hostile_text": "volume",
    "made_from_hippocrop/no_extension_random_names": "volume",
    "picai_prep/missing-slice": "missing_slices",
}


def test_what_is_wrong_with_a_folder_is_said(data_folder: Path) -> None:
    folders = [data_folder / "dicom_odd" / name for name in EXPECTED]
    outcomes = ingest(folders, set())
    assert {name: outcomes[number][-1][0] for number, name in enumerate(EXPECTED)} == EXPECTED
