"""A study is declared finished, and is refused as soon as anything in its folder is not what it was then."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.errors import CohortError, ConfigError, FedVoxelError, LedgerError, ReviewError
from fedvoxel.evaluation.reading.finished import FINISHED_FILE, read_finished
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Begun
from fedvoxel.review.finishing import finish_study
from fedvoxel.review.study import STUDY_FILE, StudySettings, load_study
from tests.review.finished_sample import (
    ACCEPT,
    CORRECT,
    PACKAGE,
    REJECT,
    STRUCTURES,
    Word,
    finished_study,
    same,
    say,
    write_study,
)

FIRST = "case-000000000000"


def record_of(folder: Path, case: str = FIRST) -> Path:
    return folder / "readers" / "reader-1" / case / "events" / "events.jsonl"


def test_what_was_said_is_read_back_without_a_name(tmp_path: Path) -> None:
    cases = [(ACCEPT, CORRECT), None, (REJECT, Word("accept", 5, preferred="manual"))]
    study = finished_study(tmp_path, cases, ["manual"], blinded=True)
    finished = read_finished(tmp_path)
    assert (finished.package, finished.structures, finished.readers) == (PACKAGE, STRUCTURES, 2)
    assert (finished.listed, len(finished.cases), finished.blinded, finished.compared) == (3, 2, True, True)
    assert [[one.verdict for one in case] for case in finished.cases] == [["accept", "correct"], ["reject", "accept"]]
    assert finished.cases[0][1].edit_dice == (0.6, 0.6) and finished.cases[1][1].preferred is False
    assert "Meier" not in (tmp_path / FINISHED_FILE).read_text()
    before = (tmp_path / FINISHED_FILE).read_bytes()
    finish_study(study)
    assert (tmp_path / FINISHED_FILE).read_bytes() == before


def test_a_case_that_one_reader_has_not_answered_does_not_count(tmp_path: Path) -> None:
    finished_study(tmp_path, [(ACCEPT, ACCEPT), (ACCEPT,)])
    assert len(read_finished(tmp_path).cases) == 1


def test_a_case_that_was_painted_on_since_does_not_count(tmp_path: Path) -> None:
    study = write_study(tmp_path, [(ACCEPT,), (ACCEPT,)])
    record = CaseRecord(study.case_folder("reader-1", FIRST))
    record.append(Begun(candidate="model"), record.read())
    assert finish_study(study).cases == 1
    say(study, "reader-1", FIRST, ACCEPT)
    assert finish_study(study).cases == 2


def _edit_record(folder: Path) -> None:
    path = record_of(folder)
    path.write_text(path.read_text().replace('"reject"', '"accept"'))


def _drop_case_from_list(folder: Path) -> None:
    values = json.loads((folder / STUDY_FILE).read_text())
    del values["cases"][FIRST]
    (folder / STUDY_FILE).write_text(json.dumps(values))


def _read_on(folder: Path) -> None:
    say(load_study(folder), "reader-1", FIRST, ACCEPT)


def _edit_finished(folder: Path) -> None:
    path = folder / FINISHED_FILE
    path.write_text(path.read_text().replace('"reject"', '"accept"'))


def _remove_case(folder: Path) -> None:
    shutil.rmtree(record_of(folder).parents[1])


def _remove_declaration(folder: Path) -> None:
    shutil.rmtree((folder / FINISHED_FILE).parent)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_edit_record, LedgerError, "not what was written"),
        (_edit_finished, LedgerError, "not what was written"),
        (_drop_case_from_list, LedgerError, "file was changed after"),
        (_read_on, LedgerError, "read, or a record changed, after the study was finished"),
        (_remove_case, LedgerError, "read, or a record changed, after the study was finished"),
        (_remove_declaration, CohortError, "not finished"),
    ],
)
def test_what_was_changed_since_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[FedVoxelError], words: str
) -> None:
    finished_study(tmp_path, [(REJECT,), (ACCEPT,)])
    read_finished(tmp_path)
    spoil(tmp_path)
    with pytest.raises(error, match=words) as caught:
        read_finished(tmp_path)
    assert str(tmp_path) not in str(caught.value) and FIRST not in str(caught.value)


def test_a_case_that_was_read_cannot_be_taken_off_the_list(tmp_path: Path) -> None:
    write_study(tmp_path, [(REJECT,), (ACCEPT,)])
    _drop_case_from_list(tmp_path)
    with pytest.raises(ReviewError, match="does not list"):
        finish_study(load_study(tmp_path))


def test_the_package_that_was_read_cannot_be_exchanged(tmp_path: Path) -> None:
    write_study(tmp_path, same(ACCEPT, 1))
    values = json.loads((tmp_path / STUDY_FILE).read_text())
    (tmp_path / STUDY_FILE).write_text(json.dumps(values | {"package": "cd" * 32}))
    with pytest.raises(ConfigError, match="not the one that was read"):
        load_study(tmp_path)


def test_a_reading_of_no_package_or_of_nothing_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="which package was read"):
        finish_study(write_study(tmp_path / "no", same(ACCEPT, 1), package=None, images=None))
    with pytest.raises(ReviewError, match="nothing to finish"):
        finish_study(write_study(tmp_path / "half", [(ACCEPT, ACCEPT)], readers=["a", "b", "c"]))


def test_a_study_of_an_older_version_is_read_and_goes_on(tmp_path: Path) -> None:
    values = write_study(tmp_path, same(ACCEPT, 1)).settings.model_dump(mode="json")
    old = StudySettings.model_validate({key: values[key] for key in values if key not in ("package", "images")})
    assert old.package is None and old.reading == values["reading"]


def test_the_command_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, [(ACCEPT,), None])
    assert main(["review", "finish", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 cases" in said and PACKAGE in said and "reader_studies" in said
    assert main(["review", "finish", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"package": PACKAGE, "cases": 1, "listed": 2}
    record_of(tmp_path).write_text("{}\n")
    assert main(["review", "finish", str(tmp_path)]) == 12
