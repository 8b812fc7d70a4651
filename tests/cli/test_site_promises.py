"""`fedvoxel site check` says which promise to patients cannot be kept, and where a ledger may be missing."""

import json
import shutil
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.ledger_presence import leave_note
from fedvoxel.privacy.policy import CohortBudget, NoBudget, grant
from tests.blob_job import describe_blobs, give_blobs
from tests.consortium_kits import small_consortium

BUDGET = CohortBudget(unit="patient", epsilon=8, delta=1e-4)


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return small_consortium(tmp_path_factory.mktemp("consortium"))


@pytest.fixture
def site(consortium: Consortium, tmp_path: Path) -> Path:
    """A copy of a hospital's kit with a cohort of blobs, whose table names each patient."""
    kit = Path(shutil.copytree(consortium.kit("hospital-a"), tmp_path / "hospital-a"))
    give_blobs(kit)
    return kit


def said(kit: Path, level: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    main(["site", "check", str(kit), "--json"])
    shown = json.loads(capsys.readouterr().out)
    return [finding["message"] for finding in shown["findings"] if finding["level"] == level]


def name_patients(kit: Path) -> None:
    table = kit / "local" / "cases.csv"
    head, *rows = table.read_text().splitlines()
    if "patient" not in head.split(","):
        rows = [f"{row},p{number}" for number, row in enumerate(rows)]
        table.write_text("\n".join([f"{head},patient", *rows]) + "\n")


def test_a_budget_without_a_ledger_is_worth_a_warning(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_patients(site)
    assert said(site, "warning", capsys) == []
    grant(site / "local", "blobs", BUDGET)
    (warned,) = said(site, "warning", capsys)
    assert "cohort blobs: no ledger yet, nothing is spent" in warned and "state/privacy" in warned
    (site / "state/privacy/blobs").mkdir(parents=True)
    (site / "state/privacy/blobs/lock").touch()
    assert len(said(site, "warning", capsys)) == 1, "a lock is no ledger"
    (site / "state/privacy/blobs/head.json").touch()
    assert said(site, "warning", capsys) == []


def test_a_ledger_whose_cohort_is_gone_or_open_is_worth_a_warning(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name_patients(site)
    for cohort in ("blobs", "renamed"):
        (site / "state/privacy" / cohort).mkdir(parents=True)
        (site / "state/privacy" / cohort / "ledger.jsonl").touch()
    warned = said(site, "warning", capsys)
    assert [message.split(":")[0] for message in warned] == ["cohort blobs", "cohort renamed"]
    assert all("has a ledger, but no budget or no description" in message for message in warned)
    grant(site / "local", "blobs", BUDGET)
    assert [message.split(":")[0] for message in said(site, "warning", capsys)] == ["cohort renamed"]


def test_a_kit_that_waits_for_its_ledger_says_so(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_note(site, server=False)
    assert any("MOVE_PRIVACY_HERE.txt" in message for message in said(site, "warning", capsys))


def test_a_servers_kit_that_waits_for_its_ledger_says_so(
    consortium: Consortium, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit = Path(shutil.copytree(consortium.server_kit, tmp_path / "server"))
    leave_note(kit, server=True)
    assert any("MOVE_PRIVACY_HERE.txt" in message for message in said(kit, "warning", capsys))


def test_unnamed_patients_cannot_be_protected_one_by_one(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = site / "local" / "cases.csv"
    head, *rows = table.read_text().splitlines()
    position = head.split(",").index("patient") if "patient" in head.split(",") else None
    cells = [row.split(",") for row in (head, *rows)]
    kept = [",".join(cell for number, cell in enumerate(row) if number != position) for row in cells]
    table.write_text("\n".join(kept) + "\n")
    grant(site / "local", "blobs", BUDGET)
    assert any(
        "name no patient" in message and "one_scan_per_patient" in message for message in said(site, "error", capsys)
    )
    describe_blobs(site, one_scan_per_patient=True)
    grant(site / "local", "blobs", BUDGET)
    assert not any("name no patient" in message for message in said(site, "error", capsys))


def test_a_patient_who_is_let_out_elsewhere_is_an_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_patients(site)
    path = site / "local" / "fedvoxel_site.json"
    described = json.loads(path.read_text())
    described["cohorts"]["again"] = described["cohorts"]["blobs"]
    path.write_text(json.dumps(described))
    grant(site / "local", "again", NoBudget())
    assert not any("in common" in message for message in said(site, "error", capsys)), "nothing is promised yet"
    grant(site / "local", "blobs", BUDGET)
    (found,) = [message for message in said(site, "error", capsys) if "in common" in message]
    assert "'again' (unit 'none')" in found and "hollow" in found and "case" not in found
