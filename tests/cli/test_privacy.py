"""`fedvoxel privacy`: budgets, ledgers and plans as people and programs read them."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import Ledger, open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import PRIVACY_FILE, NoBudget, PublicCohort, grant

EVENT = GaussianEvent(noise_multiplier=1000, sampling_probability=1, count=1)
PLAN = RunPlan(unit="patient", event=EVENT, draws=3, delta=5e-4)
QUICK = ["--sampling-probability", "1", "--steps", "1", "--rounds", "3", "--delta", "1e-5"]
PINNED = ["--sampling-probability", "0.32", "--steps", "10", "--rounds", "18", "--delta", "0.001"]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """What the commands need of a hospital's kit, with a budget for one cohort."""
    (tmp_path / "local").mkdir()
    granted = {"unit": "patient", "epsilon": 8, "delta": 1e-3}
    (tmp_path / "local" / PRIVACY_FILE).write_text(
        json.dumps({"schema_version": 1, "cohorts": {"hippocampus": granted}})
    )
    return tmp_path


def ledger_of(kit: Path) -> Ledger:
    return open_ledger(kit / "local", kit / "state", "hippocampus")


def release(kit: Path) -> str:
    ledger = ledger_of(kit)
    reservation = ledger.reserve("a-run", "job", 0, PLAN)
    ledger.keep(reservation, b"noised")
    ledger.bytes_to_send(reservation.release_id)
    return reservation.release_id


def shown_as_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["privacy", *map(str, words), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refused(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Runs a command that must fail with that code and one line, and returns the line."""
    assert main(["privacy", *map(str, words)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    return str(line)


def test_status_says_what_is_spent_and_left(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty,) = shown_as_json(capsys, "status", kit)["cohorts"]
    assert empty["remaining"] == {"epsilon": 8, "delta": 1e-3} and empty["head"] is None
    assert not (kit / "state").exists(), "asking makes no ledger"
    release(kit)
    (spent,) = shown_as_json(capsys, "status", kit)["cohorts"]
    assert spent["budget"] == {"unit": "patient", "epsilon": 8, "delta": 1e-3}
    assert 0 < spent["spent"]["epsilon"] == pytest.approx(8 - spent["remaining"]["epsilon"])
    assert spent["neighbouring"] == "add or remove one patient" and "dp-accounting" in spent["accountant"]
    (run,) = spent["runs"]
    assert (run["run_key"], run["drawn"], run["kept"], run["sent"]) == ("a-run", 1, 1, 1)
    assert run["plan"]["draws"] == 3


def test_status_as_a_table(kit: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    release(kit)
    ledger_of(kit).record_gap(1.5, 1e-4, "J. [Doe]", "restored")
    assert main(["privacy", "status", str(kit)]) == 0
    shown = capsys.readouterr().out
    for words in ("of 8 spent", "add or remove one patient", "a-run", "1 of 3 (closed)", "J. [Doe]: restored"):
        assert words in shown


def test_a_policy_without_cohorts(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kit / "local" / PRIVACY_FILE).write_text('{"schema_version": 1}')
    assert main(["privacy", "status", str(kit)]) == 0
    assert "names no cohort" in capsys.readouterr().out


def test_a_cohort_without_a_guarantee_is_said_to_have_none(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grant(kit / "local", "demo", NoBudget())
    grant(kit / "local", "atlas", PublicCohort())
    shown = shown_as_json(capsys, "status", kit)
    assert shown["no_formal_guarantee"] == ["demo"] and shown["declared_public"] == ["atlas"]
    assert [status["cohort"] for status in shown["cohorts"]] == ["hippocampus"]
    assert main(["privacy", "status", str(kit)]) == 0
    said = capsys.readouterr().out
    assert "demo: no formal guarantee" in said and "atlas: declared public" in said
    assert main(["privacy", "verify", str(kit)]) == 0
    assert "demo" not in capsys.readouterr().out
    assert "grants no budget for cohort 'demo'" in refused(capsys, 3, "status", kit, "--cohort", "demo")


def test_a_missing_policy_or_cohort_is_one_line(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no entry for cohort 'liver'" in refused(capsys, 3, "status", kit, "--cohort", "liver")
    (kit / "local" / PRIVACY_FILE).unlink()
    assert "privacy policy is missing" in refused(capsys, 3, "status", kit)


def test_verify_shows_the_head_and_asks_for_a_noted_one(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release_id = release(kit)
    (result,) = shown_as_json(capsys, "verify", kit)["cohorts"]
    assert result["entries"] == 4 and result["damaged_releases"] == []
    for noted in (result["head"], release_id):
        assert main(["privacy", "verify", str(kit), "--cohort", "hippocampus", "--noted", noted]) == 0
        assert f"hippocampus: 4 entries, unbroken; head {result['head']}" in capsys.readouterr().out
    line = refused(capsys, 12, "verify", kit, "--cohort", "hippocampus", "--noted", "0" * 64)
    assert "older copy" in line
    assert main(["privacy", "verify", str(kit), "--noted", "0" * 64]) == 2
    (kit / "state" / "privacy" / "hippocampus" / "releases" / f"{release_id}.bin").unlink()
    capsys.readouterr()
    assert main(["privacy", "verify", str(kit)]) == 0
    assert f"release {release_id} are missing or damaged" in capsys.readouterr().err


def test_an_older_copy_is_refused_until_the_gap_is_recorded(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = kit / "state" / "privacy" / "hippocampus" / "ledger.jsonl"
    release(kit)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    assert "record-gap" in refused(capsys, 12, "status", kit)
    answer = ["record-gap", kit, "--cohort", "hippocampus", "--operator", "J. Doe", "--reason", "disk failed"]
    line = refused(capsys, 12, *answer, "--epsilon", "0", "--delta", "0")
    assert "at least epsilon" in line
    (status,) = shown_as_json(capsys, *answer, "--epsilon", "0.5", "--delta", "0.0005")["cohorts"]
    assert status["spent"] == {"epsilon": 0.5, "delta": 5e-4}
    assert status["gaps"][0]["operator"] == "J. Doe"
    assert main(["privacy", "verify", str(kit)]) == 0


def test_simulate_counts_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    shown = shown_as_json(capsys, "simulate", "--noise-multiplier", "10", *QUICK, "--epsilon", "1")
    assert shown["epsilon"] < 1 and shown["most_rounds"] > 3
    assert main(["privacy", "simulate", "--noise-multiplier", "2.2", *PINNED]) == 0
    assert "epsilon 7.888 at delta 0.001 for each patient (by dp-accounting" in capsys.readouterr().out


def test_simulate_counts_spare_draws(capsys: pytest.CaptureFixture[str]) -> None:
    """Given the budget, the noise is that of all draws that are charged."""
    few, more = (["--rounds", rounds, "--steps", "1", "--delta", "1e-5"] for rounds in ("20", "30"))
    all_in, wanted = ["--sampling-probability", "1"], ["--epsilon", "4.866083"]
    spared = shown_as_json(capsys, "simulate", *few, *all_in, *wanted, "--spare-draws", "10")
    assert spared == shown_as_json(capsys, "simulate", *more, *all_in, *wanted) | {"most_rounds": spared["most_rounds"]}
    assert spared["plan"]["draws"] == 30 and spared["plan"]["event"]["noise_multiplier"] == pytest.approx(5, abs=1e-3)
    assert spared["most_rounds"] == 20
    told = ["privacy", "simulate", *few, *all_in, "--spare-draws", "10", "--noise-multiplier", "5", *wanted]
    assert main(told) == 0
    said = capsys.readouterr().out
    assert "20 rounds and 10 spare draws of 1 steps" in said and "allows 20 rounds of this kind beside 10 spare" in said


def test_simulate_finds_the_noise(capsys: pytest.CaptureFixture[str]) -> None:
    shown = shown_as_json(capsys, "simulate", *QUICK, "--epsilon", "4.866083")
    assert shown["epsilon"] == pytest.approx(4.866, abs=2e-3)
    assert shown["plan"]["event"]["noise_multiplier"] == pytest.approx(5 / 10**0.5, abs=1e-3), "noise 5 for 30 draws"


def test_simulate_says_what_is_no_protection_or_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["privacy", "simulate", "--noise-multiplier", "0", *PINNED]) == 0
    assert "epsilon infinite" in capsys.readouterr().out
    assert main(["privacy", "simulate", *PINNED]) == 2
    capsys.readouterr()
    line = refused(capsys, 3, "simulate", "--noise-multiplier", "-1", *PINNED, "--unit", "scan")
    assert "noise_multiplier" in line and "unit" in line


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "verify", "simulate", "record-gap"):
        assert main(["privacy", command, "--help"]) == 0
        assert "Example: fedvoxel privacy" in " ".join(capsys.readouterr().out.split())
