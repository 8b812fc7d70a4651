"""What wants an environment of its own is tested there, made on a copy of the clone by the very lines of its page."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_COUNT = re.compile(r"(\d+) (passed|skipped|failed|errors?)")


def lines_of(page: str, environment: str) -> list[str]:
    """Returns the lines of a page that make an environment and run tests in it."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines() if environment in line]
    return [line for line in lines if re.search(r"-m venv|clone\.pth|/pip install|-m pytest", line)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what is under version control, with the environment that this test runs in."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "environment"), [("serving.md", ".venv-serve"), ("trackers.md", "trackers")], ids=["serving", "trackers"]
)
def test_the_pages_own_lines_make_the_environment_and_its_tests_pass_there(
    page: str, environment: str, clone: Path
) -> None:
    lines = lines_of(page, environment)
    assert "-m venv" in lines[0] and "-m pytest" in lines[-1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "COV"))}
    script = "\n".join(["set -euo pipefail", *lines[:-1], f"{lines[-1]} -q -rs -p no:cacheprovider"])
    done = subprocess.run(["bash", "-c", script], cwd=clone, env=kept, capture_output=True, text=True)
    told = done.stdout[-4000:] + done.stderr[-2000:]
    assert done.returncode == 0, told
    counts = {word: int(number) for number, word in _COUNT.findall(done.stdout.splitlines()[-1])}
    assert counts["passed"] > 20, told
    assert "needs" not in " ".join(line for line in done.stdout.splitlines() if line.startswith("SKIPPED")), told
