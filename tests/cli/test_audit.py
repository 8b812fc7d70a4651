"""`fedvoxel audit verify`: says what a whole log holds, and ends with 12 at one that was changed."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.records.audit import AUDIT_FILE, AuditLog
from fedvoxel.records.audit_event import AuditEvent

REFUSED = AuditEvent(kind="answer", outcome="refused", run_key="a_run", task="train", round=1, site="hospital-a")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    AuditLog(tmp_path).record([REFUSED] * 2)
    return tmp_path / "audit" / AUDIT_FILE


def test_a_whole_log_is_counted(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(log)]) == 0
    said = capsys.readouterr().out
    assert "2 entries, unbroken" in said and "a_run: hospital-a answer refused 2 times" in said
    assert main(["audit", "verify", str(log), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entries"] == 2 and told["events"][0]["count"] == 2 and told["head"] in said
    assert main(["audit", "verify", str(log), "--noted", told["head"]]) == 0


def test_a_log_that_was_changed_or_put_back_is_found(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(log), "--noted", "0" * 64]) == 12
    assert "older copy" in capsys.readouterr().err
    log.write_bytes(log.read_bytes().replace(b"hospital-a", b"hospital-b"))
    assert main(["audit", "verify", str(log)]) == 12
    assert "line 1" in capsys.readouterr().err


def test_another_file_is_no_log_and_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", str(tmp_path / "audit" / AUDIT_FILE)]) == 3
    assert "expected an audit log" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
