"""Makes Flower's own environment from its pins, and runs there what needs Flower: with it, nothing may be skipped."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.flower_apps import IS_HERE, ROOT
from tests.own_environment import python_with

PLACES = ("tests/ops/flower", "tests/training/test_flower_app.py", "tests/system/test_flower.py")
OLDER = {"fastapi", "packaging", "protobuf", "pycryptodome", "starlette", "uvicorn"}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_only_what_flower_wants_older_differs() -> None:
    ours, flower = pins("constraints.txt"), pins("constraints-flower.txt")
    assert {name for name in ours.keys() & flower.keys() if ours[name] != flower[name]} == OLDER
    assert flower["flwr"].startswith("1.41.") and {"torch", "monai", "nvflare"} <= flower.keys()


@pytest.fixture(scope="module")
def flower_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with Flower and what it wants older; all else is what this process has."""
    return python_with(tmp_path_factory.mktemp("flower"), "constraints-flower.txt", "flwr>=1.41,<1.43")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(IS_HERE, reason="Flower is installed here: the tests themselves are run")
def test_everything_that_needs_flower_passes_with_it(flower_python: Path) -> None:
    paths = [str(ROOT / "app_custom"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [flower_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *PLACES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout[-500:]
