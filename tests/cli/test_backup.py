"""`fedvoxel backup`: a passphrase never stands on a command line, and what to do next is said."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.backup import ENVIRONMENT_VARIABLE
from fedvoxel.cli.main import main
from fedvoxel.records.atomic import write_json
from tests.kept_files.make_files import COHORT, make_site


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    write_json(tmp_path / "hospital-a/startup/fed_client.json", {})
    make_site(tmp_path / "hospital-a")
    return tmp_path / "hospital-a"


def test_a_backup_is_made_checked_and_put_back(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("correct horse battery staple\nnot this line\n")
    with_key = ["--passphrase-file", str(tmp_path / "key")]
    assert main(["backup", "create", str(kit), "--to", str(tmp_path / "b"), *with_key]) == 0
    assert "encrypted" in (out := capsys.readouterr()).out and "Next: copy b" in out.out and not out.err
    assert main(["backup", "check", str(tmp_path / "b"), "--json"]) == 26
    assert "made with a passphrase" in capsys.readouterr().err
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "correct horse battery staple")
    assert main(["backup", "check", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cohorts"] == [f"state/privacy/{COHORT}"]
    assert main(["backup", "restore", str(tmp_path / "b"), "--to", str(tmp_path / "back")]) == 0
    said = capsys.readouterr()
    assert "record-gap" in said.err and "RESTORED.txt" in said.out
    assert main(["privacy", "status", str(tmp_path / "back")]) == 12
    assert "record-gap" in capsys.readouterr().err
    assert main(["backup", "restore", str(tmp_path / "b"), "--to", str(tmp_path / "back")]) == 26


def test_a_readable_backup_is_warned_of_and_a_short_passphrase_refused(
    kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["backup", "create", str(kit), "--to", str(tmp_path / "b")]) == 0
    assert "private keys are in it" in capsys.readouterr().err
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "short")
    assert main(["backup", "create", str(kit), "--to", str(tmp_path / "c")]) == 3
    assert "at least 12 characters" in capsys.readouterr().err and not (tmp_path / "c").exists()
    assert main(["backup", "create", str(kit), "--to", str(tmp_path / "c"), "--passphrase-file", str(kit)]) == 3
