"""The bill of materials is whole and repeatable, and an audit of it never passes without a look."""

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
AFFECTED = {"package": {"name": "Numpy", "ecosystem": "PyPI"}}


def make_bill(*arguments: str) -> int:
    command = [sys.executable, str(ROOT / "scripts" / "bill_of_materials.py"), *arguments]
    return subprocess.run(command, capture_output=True, timeout=120).returncode


def audited(bill: Path, *arguments: str) -> tuple[int, str]:
    """Returns how the audit ends, and what it says."""
    spec = importlib.util.spec_from_file_location("audit_dependencies", ROOT / "scripts" / "audit_dependencies.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = module.main([str(bill), *arguments])
    return code, said.getvalue()


@pytest.fixture(scope="session")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bill of a site, with everything that is installed here."""
    path = tmp_path_factory.mktemp("bill") / "bill.json"
    assert make_bill("--out", str(path)) == 0
    return path


def names(path: Path) -> set[str]:
    return {one["name"] for one in json.loads(path.read_text())["components"]}


def test_a_bill_lists_what_an_installation_needs_and_nothing_else(bill: Path, tmp_path: Path) -> None:
    listed = json.loads(bill.read_text())
    assert {"nvflare", "torch", "monai", "pydicom", "onnxruntime", "fastapi"} <= names(bill)
    assert not {"pytest", "ruff", "hypothesis"} & names(bill)
    by_name = {one["name"]: one for one in listed["components"]}
    assert by_name["dp-accounting"]["version"] == "0.6.0"
    assert by_name["dp-accounting"]["purl"] == "pkg:pypi/dp-accounting@0.6.0"
    needs = {one["ref"]: one.get("dependsOn", []) for one in listed["dependencies"]}
    (own,) = [ref for ref in needs if ref.startswith("fedvoxel==")]
    assert "nvflare==2.9.0" in needs[own] and listed["metadata"]["component"]["name"] == "fedvoxel"

    assert make_bill("--extras", "", "--out", str(tmp_path / "server.json")) == 0
    assert not {"torch", "monai", "pydicom", "nibabel"} & names(tmp_path / "server.json")
    assert names(tmp_path / "server.json") < names(bill)


def test_two_bills_of_one_installation_are_alike(bill: Path, tmp_path: Path) -> None:
    make_bill("--out", str(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == bill.read_bytes()


def snapshot(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, record in enumerate(records):
            said = {"id": f"X-{number}", "modified": "2026-01-02T03:04:05Z", "summary": "bad"} | record
            archive.writestr(f"X-{number}.json", json.dumps(said))
    return path


def span(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"affected": [AFFECTED | {"ranges": [{"type": kind, "events": list(events)}]}]}


@pytest.mark.parametrize(
    "record",
    [
        span({"introduced": "0"}),
        span({"introduced": "1.0"}, {"fixed": "999"}),
        span({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.1"}, {"last_affected": "999"}),
    ],
)
def test_a_known_vulnerability_is_found_and_can_be_accepted_with_a_reason(
    record: dict[str, Any], bill: Path, tmp_path: Path
) -> None:
    database = str(snapshot(tmp_path, record))
    code, said = audited(bill, "--database", database)
    assert code == 1 and "X-0 numpy" in said and "snapshot" in said
    code, said = audited(bill, "--database", database, "--ignore", "X-0=no untrusted input")
    assert code == 0 and "accepted: no untrusted input" in said


def test_a_version_that_is_named_is_found(bill: Path, tmp_path: Path) -> None:
    import numpy

    database = snapshot(tmp_path, {"affected": [AFFECTED | {"versions": [numpy.__version__]}]})
    assert audited(bill, "--database", str(database))[0] == 1


def test_what_does_not_concern_the_installation_is_no_finding(bill: Path, tmp_path: Path) -> None:
    elsewhere = {"package": {"name": "numpy", "ecosystem": "npm"}, "ranges": []}
    database = snapshot(
        tmp_path,
        span({"introduced": "0"}, {"fixed": "1.0"}),
        span({"introduced": "0"}, {"last_affected": "1.0"}),
        span({"introduced": "999"}),
        span({"introduced": "0"}) | {"withdrawn": "2026-01-03T00:00:00Z"},
        {"affected": [elsewhere]},
        {"affected": [AFFECTED | {"versions": ["0.0.1"]}]},
    )
    code, said = audited(bill, "--database", str(database))
    assert code == 0, said
    assert "older than 30 days" in said, "a stale snapshot is named"


def test_without_a_snapshot_nothing_passes(bill: Path, tmp_path: Path) -> None:
    code, said = audited(bill)
    assert code == 3 and said.startswith("NOT CHECKED")
    (tmp_path / "none.zip").write_bytes(b"no zip")
    assert audited(bill, "--database", str(tmp_path / "none.zip"))[0] == 2
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert audited(bill, "--database", str(tmp_path / "empty.zip"))[0] == 2
    broken = snapshot(tmp_path, span({"introduced": "of old"}))
    assert audited(bill, "--database", str(broken))[0] == 2
