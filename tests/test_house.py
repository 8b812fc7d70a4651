"""The house rules that ruff and mypy cannot see, and a proof that each import contract bites."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "app_custom" / "fedvoxel"
LONGEST_FILE = 250
LONGEST_FUNCTION = 40
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
TEXT_SUFFIXES = {"", ".py", ".md", ".toml", ".txt", ".json", ".yml", ".yaml", ".csv", ".html", ".sh", ".svg"}


def sources() -> list[Path]:
    return sorted([*SOURCE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def tracked_files() -> Iterator[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            yield ROOT / name


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ------------------------------------------------------------------ import contracts


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Runs import-linter on the package below `tree`, with the contracts of this checkout."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    command += ["--config", str(ROOT / "pyproject.toml")]
    environment = {"PYTHONPATH": str(tree), "COLUMNS": "200", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def broken_contracts(report: str) -> list[str]:
    return re.findall(r"^(.+?) BROKEN", report, flags=re.MULTILINE)


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "fedvoxel", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_contract_holds() -> None:
    result = lint_imports(SOURCE.parent)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 kept, 0 broken" in result.stdout


LAYERS = "Rooms import downwards only"
NVFLARE = "Only flare, and the parts of cli and ops that submit or watch jobs, import nvflare"
SERVER = "The server never sees an image"


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("errors.py", "import fedvoxel.records.atomic", LAYERS),
        ("config.py", "import fedvoxel.records.atomic", LAYERS),
        ("records/atomic.py", "import fedvoxel.federation.rounds", LAYERS),
        ("volumes/plan.py", "import fedvoxel.updates.update", LAYERS),
        ("evaluation/summary.py", "import fedvoxel.cli.main", LAYERS),
        ("attic.py", "import json", LAYERS),
        ("config.py", "import nvflare", NVFLARE),
        ("evaluation/summary.py", "from nvflare.apis.fl_context import FLContext", NVFLARE),
        ("cli/cohort.py", "import nvflare", NVFLARE),
        ("federation/rounds.py", "import torch", SERVER),
        ("federation/rounds.py", "import fedvoxel.training.config", SERVER),
        ("updates/update.py", "import monai.networks", SERVER),
        ("updates/__init__.py", "import torch", SERVER),
        ("flare/controller.py", "import torch", SERVER),
        ("flare/site_tasks.py", "import fedvoxel.volumes.volume", SERVER),
    ],
)
def test_a_bad_import_breaks_its_contract(package_copy: Path, module: str, statement: str, contract: str) -> None:
    target = package_copy / "fedvoxel" / module
    target.write_text((target.read_text() if target.exists() else "") + f"\n{statement}\n")
    result = lint_imports(package_copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert contract in broken_contracts(result.stdout), result.stdout


def test_the_server_contract_names_every_room_that_is_built() -> None:
    """A pattern such as `fedvoxel.deid.**` stands for a missing room only: it does not cover the room's `__init__`."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    server = next(contract for contract in contracts if contract["id"] == "server")
    patterns = [name for name in server["source_modules"] + server["forbidden_modules"] if name.endswith(".**")]
    rooms = [name.split(".")[1] for name in patterns]
    assert [room for room in rooms if (SOURCE / room / "__init__.py").exists()] == []


# ------------------------------------------------------------------ size and names


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    too_long = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    too_long.append(f"{name_of(path)}: {node.name} has {length} lines")
    assert too_long == []


def test_names_say_what_is_inside() -> None:
    assert [name_of(path) for path in sources() if {path.stem, path.parent.name} & VAGUE_NAMES] == []


def test_the_package_does_not_print() -> None:
    calls = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []


def test_every_room_says_what_it_is_for() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    missing = [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()]
    assert missing == []


# ------------------------------------------------------------------ what is committed


def test_no_file_names_a_folder_of_one_machine() -> None:
    machine_path = re.compile(r"(?<![\w.$}])/(?:work|root|home/\w+|Users/\w+)/")
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked_files()
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if machine_path.search(line)
    ]
    assert found == []


def test_no_scan_is_committed() -> None:
    scans = (".nii", ".nii.gz", ".dcm", ".mha", ".nrrd", ".npz")
    assert [name_of(path) for path in tracked_files() if path.name.endswith(scans)] == []


def test_pins_are_public_versions() -> None:
    pins = [pin for path in sorted(ROOT.glob("constraints*.txt")) for pin in path.read_text().splitlines()]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.\-]+==[\w.]+", pin)] == []


def test_a_server_needs_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", item)[0].lower() for item in project["dependencies"]}
    assert names.isdisjoint({"torch", "monai", "nibabel", "scipy", "pydicom", "matplotlib"})
