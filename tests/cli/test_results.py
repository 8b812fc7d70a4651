"""`fedvoxel results` as a person and as a script call it."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.evaluation.report import Report
from fedvoxel.federation.drift.result import make_result as make_watch
from fedvoxel.federation.outcome import write_outcome
from fedvoxel.federation.reader_study.answers import StudyAnswer
from fedvoxel.federation.reader_study.result import make_result
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.records.atomic import write_json
from tests.federation.drift.test_answers import cells, question, told
from tests.federation.reader_study.test_answers import PACKAGE, answer_values
from tests.sample_run import all_baselines, failed_outcome, private_outcome, sample_outcome


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A downloaded job whose model files were left out."""
    outcome = sample_outcome().model_copy(update={"model": None, "best_model": None})
    write_outcome(outcome, tmp_path / "downloads" / outcome.job_id / "workspace" / "outcome.json")
    return tmp_path / "downloads" / outcome.job_id


@pytest.fixture
def baselines(tmp_path: Path) -> list[str]:
    """Files of local-only models and a pooled one, as the words of a command."""
    words = []
    for index, baseline in enumerate(all_baselines()):
        path = tmp_path / f"baseline_{index}.json"
        write_json(path, baseline.model_dump(mode="json"))
        words += ["--baseline", str(path)]
    return words


def test_prints_scores_gains_and_paths(
    job: Path, baselines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["results", str(job), *baselines]) == 0
    shown = capsys.readouterr().out
    assert "Finished: 12 of 12 rounds with 4 hospitals." in shown
    assert "local only" in shown
    assert "hospital-a gained: Dice +0.021" in shown
    assert "! hospital-d has 3 unseen cases" in shown
    assert str(job / "report" / "report.html") in shown
    assert (job / "report" / "report.json").is_file()


def test_json_is_alone_on_standard_output(job: Path, baselines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(job), *baselines, "--json"]) == 0
    report = Report.model_validate_json(capsys.readouterr().out)
    assert report.run.job_id == job.name


def test_writes_where_told_and_shows_a_given_picture(job: Path, tmp_path: Path) -> None:
    picture = tmp_path / "overlay_hospital_a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\nrest")
    assert main(["results", str(job), "--picture", str(picture), "--out", str(tmp_path / "here")]) == 0
    page = (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert "Overlay hospital a" in page
    assert not (job / "report").exists()


def test_a_failed_run_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcome(failed_outcome(), tmp_path / "workspace" / "outcome.json")
    assert main(["results", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Failed after 0 of 12 rounds" in shown
    assert "nothing can be said about quality" in shown


def test_markup_in_names_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = failed_outcome().model_copy(update={"job_name": "[red]job[/red]"})
    write_outcome(outcome, tmp_path / "workspace" / "outcome.json")
    assert main(["results", str(tmp_path)]) == 0
    assert "[red]job[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--picture", "missing.png"], 10, "the picture missing.png cannot be read: No such file"),
        (["--picture", "{outcome}"], 10, "is not a PNG file"),
        (["--baseline", "missing.json"], 3, "the baseline missing.json is missing"),
        (["--baseline", "{outcome}"], 3, "the baseline outcome.json is not valid"),
        (["--out", "{outcome}/report"], 10, "cannot be written"),
    ],
)
def test_refuses_in_one_line(
    words: list[str], code: int, said: str, job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = str(job / "workspace" / "outcome.json")
    assert main(["results", str(job), *(word.replace("{outcome}", outcome) for word in words)]) == code
    streams = capsys.readouterr()
    assert streams.out == ""
    assert said in streams.err
    assert streams.err.count("\n") == 1


def test_refuses_a_folder_without_an_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(tmp_path)]) == 10
    assert "no outcome.json" in capsys.readouterr().err


def test_report_json_is_what_was_printed(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(job), "--json"]) == 0
    written = json.loads((job / "report" / "report.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == written


def test_the_claim_is_printed_with_its_start_and_open_channels(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    outcome = private_outcome().model_copy(update={"model": None})
    path = job / "workspace" / "outcome.json"
    write_outcome(outcome, path)
    assert main(["results", str(job)]) == 0
    shown = capsys.readouterr().out
    assert f"Privacy: {outcome.privacy}" in shown and "began with the last model of run pretraining" in shown
    assert "open:" not in shown
    opened = outcome.channels[0].model_copy(update={"status": "open", "why": "no noise"})
    fallen = {"guarantee": None, "privacy": NO_GUARANTEE, "channels": (opened, *outcome.channels[1:])}
    write_outcome(outcome.model_copy(update=fallen), path)
    assert main(["results", str(job)]) == 0
    shown = capsys.readouterr().out
    assert "Privacy: no formal guarantee." in shown and "open: updates, no noise" in shown


def test_a_reader_study_is_shown_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = StudyAnswer.model_validate(answer_values())
    found = make_result("spring", PACKAGE, {"a": answer}, {"b": "no reply"}).model_dump(mode="json")
    write_json(tmp_path / "workspace" / "reader_study.json", found)
    assert main(["results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "usable, touched up at most: 25 of 30" in shown and "b is not in it: no reply" in shown
    assert main(["results", str(tmp_path / "workspace"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    write_json(tmp_path / "workspace" / "reader_study.json", found | {"pooled": None})
    assert main(["results", str(tmp_path)]) == 3


@pytest.mark.parametrize(
    ("unusual", "code", "said"), [(20, 28, "a, 40 images: drift: "), (0, 0, "a, 40 images: nothing that is sure")]
)
def test_a_drift_watch_is_shown_in_sentences_and_ends_with_28_for_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unusual: int, code: int, said: str
) -> None:
    answer = told(unusual=unusual, **cells(20, 20 - unusual, unusual, 0) if unusual else cells(20, 20, 0, 0))
    found = make_watch(question(), {"a": answer}, {"b": "no reply"}).model_dump(mode="json")
    write_json(tmp_path / "workspace" / "drift_watch.json", found)
    assert main(["results", str(tmp_path)]) == code
    shown = capsys.readouterr().out
    assert said in shown and "b is not in it: no reply" in shown
    assert main(["results", str(tmp_path / "workspace"), "--json"]) == code
    assert json.loads(capsys.readouterr().out) == found
    write_json(tmp_path / "workspace" / "drift_watch.json", found | {"verdict": "nothing told"})
    assert main(["results", str(tmp_path)]) == 3
