"""The descriptions that come with the project fit their jobs, and their codes are those of DICOM's own tables."""

import json
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from fedvoxel.config import parse_config
from fedvoxel.export.description import Code
from fedvoxel.export.job_model import read_description
from fedvoxel.training.setup import TrainingTask

ROOT = Path(__file__).resolve().parents[2]
CODES = {
    ("hippocampus", "anterior"): (codes.SCT.Hippocampus, codes.SCT.Anterior),
    ("hippocampus", "posterior"): (codes.SCT.Hippocampus, codes.SCT.Posterior),
    ("brain_demo", "grey_matter"): (codes.SCT.GrayMatter, None),
    ("brain_demo", "white_matter"): (codes.SCT.WhiteMatter, None),
    ("spinal_cord", "cord"): (codes.SCT.SpinalCordWhiteMatter, None),
    ("spinal_cord", "grey_matter"): (codes.SCT.SpinalCordGrayMatter, None),
}


def task_of(job: str) -> TrainingTask:
    config = next((ROOT / "jobs" / job).glob("*/config/config_fed_client.json"))
    arguments = dict(json.loads(config.read_text())["executors"][0]["executor"]["args"])
    del arguments["run_key"]
    return parse_config(TrainingTask, arguments, "the job's task")


def triple(code: Code | None) -> tuple[str, str, str] | None:
    return (code.scheme, code.value, code.meaning) if code else None


@pytest.mark.parametrize(
    ("name", "job"),
    [("hippocampus", "hippocampus_fedavg"), ("spinal_cord", "spinal_cord_fedavg"), ("brain_demo", "brain_demo")],
)
def test_a_description_fits_its_job_and_has_dicoms_codes(name: str, job: str) -> None:
    described = read_description(ROOT / "provisioning" / "models" / f"{name}.json", task_of(job))
    assert described.name == name
    for structure in described.structures:
        kind, modifier = CODES[name, structure.name]
        anatomy = codes.SCT.AnatomicalStructure
        assert triple(structure.category) == (anatomy.scheme_designator, anatomy.value, anatomy.meaning)
        assert triple(structure.type) == (kind.scheme_designator, kind.value, kind.meaning)
        expected = (modifier.scheme_designator, modifier.value, modifier.meaning) if modifier else None
        assert triple(structure.modifier) == expected
