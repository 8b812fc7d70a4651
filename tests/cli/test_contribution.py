"""`fedvoxel contribution` as a person and as a script call it."""

from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.evaluation.credit.account import Account
from fedvoxel.federation.outcome import write_outcome
from tests.evaluation.credit.records import outcome_of, records
from tests.sample_run import sample_outcome


@pytest.fixture
def outcome_file(tmp_path: Path) -> Path:
    path = tmp_path / "job" / "workspace" / "outcome.json"
    write_outcome(outcome_of(records({"hospital-a": 0.03}, last_step={"hospital-c": 0.999})), path)
    return path


def test_prints_the_table_the_flags_the_cost_and_what_to_do_next(
    outcome_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["contribution", str(outcome_file.parents[1])]) == 0
    shown = capsys.readouterr().out
    assert "leaving each hospital out, 8 of 8 rounds" in shown and "hospital-a" in shown
    assert "! hospital-c: free rider; its updates repeat the step" in shown
    assert "Cost: 48 models scored" in shown and "Next: fedvoxel contribution" in shown


def test_json_is_alone_on_standard_output_and_a_page_goes_where_told(
    outcome_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out" / "page.html"
    assert main(["contribution", str(outcome_file), "--json", "--html", str(page)]) == 0
    account = Account.model_validate_json(capsys.readouterr().out)
    assert [flag.kind for flag in account.flags] == ["free rider"]
    assert "who contributed what" in page.read_text(encoding="utf-8")


def test_what_cannot_be_done_is_said_in_one_line(
    outcome_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_outcome(sample_outcome(), tmp_path / "plain.json")
    for words, code, said in (
        ([str(tmp_path / "plain.json")], 10, "expected a job with rounds.contribution"),
        ([str(tmp_path / "missing")], 10, "is not a folder"),
        ([str(outcome_file), "--html", str(outcome_file / "page.html")], 10, "the page cannot be written"),
    ):
        assert main(["contribution", *words]) == code
        streams = capsys.readouterr()
        assert said in streams.err and streams.err.count("\n") == 1 and streams.out == ""
