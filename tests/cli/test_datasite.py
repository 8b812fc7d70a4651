"""`fedvoxel datasite` where syft-job is not, and what its help says; with syft-job: tests/ops/datasite/test_syft.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from tests.approval_kits import SCIENTIST, Hospital

Capture = pytest.CaptureFixture[str]
COMMANDS = ("open", "ask", "answers", "requests", "show", "approve", "reject", "run")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def test_without_syft_the_line_names_the_extra(
    hospital: Hospital, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "syft_job", None)
    assert main(["datasite", "requests", str(hospital.kit.folder), "--box", str(hospital.folder)]) == 3
    assert capsys.readouterr().err == "error: this needs syft-job: pip install -c constraints.txt '.[syft]'\n"


def test_a_site_opens_its_box_for_people_with_names(hospital: Hospital, capsys: Capture) -> None:
    hospital.person(SCIENTIST)
    box = ["--box", str(hospital.folder)]
    assert main(["datasite", "open", str(hospital.kit.folder), "../elsewhere", *box]) == 8
    assert "expected a person's name" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str, capsys: Capture) -> None:
    assert main(["datasite", command, "--help"]) == 0
    assert f"Example: fedvoxel datasite {command}" in " ".join(capsys.readouterr().out.split())


def test_who_asks_needs_no_package_for_images() -> None:
    used = "fedvoxel.cli.datasite, fedvoxel.ops.datasite.box, fedvoxel.ops.datasite.answer, fedvoxel.export.package"
    heavy = {"highdicom", "monai", "nibabel", "nvflare", "onnxruntime", "pydicom", "scipy", "torch"}
    command = [sys.executable, "-c", f"import sys, {used}; print(*sys.modules)"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "fedvoxel.evaluation.judgement.aggregate" in loaded and heavy.isdisjoint(loaded)
