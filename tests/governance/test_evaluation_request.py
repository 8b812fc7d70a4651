"""What may be asked of a hospital, and that a record of it which cannot be read approves nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.export.trust import Trust
from fedvoxel.governance.evaluation_record import EvaluationRecord
from fedvoxel.governance.evaluation_request import Asked, EvaluationRequest, new_id, read_request, request_file
from fedvoxel.records.chain import Chain
from tests.approval_kits import SCIENTIST, Hospital

VALUES = {
    "id": "0" * 32,
    "site": "hospital-a",
    "package": "a" * 64,
    "model": "hippocampus",
    "version": "1.0.0",
    "cohort": "brains",
    "split": "test",
    "metrics": ["dice"],
    "purpose": "a comparison",
}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"metrics": []}, "metrics"),
        ({"metrics": ["dice", "dice"]}, "a metric is named twice"),
        ({"metrics": ["cases"]}, "metrics.0"),
        ({"cohort": "../brains"}, "cohort"),
        ({"site": "hospital-a/.."}, "site"),
        ({"package": "latest"}, "package"),
        ({"purpose": "one\nAPPROVED by physician"}, "purpose"),
        ({"purpose": " "}, "purpose"),
        ({"code": "print(1)"}, "code"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_nothing_else_can_be_asked(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_config(EvaluationRequest, VALUES | changes, "the request")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def asked(hospital: Hospital, **changes: Any) -> Asked:
    request = parse_config(EvaluationRequest, VALUES | {"id": new_id()} | changes, "the request")
    now = datetime.now(UTC)
    file = request_file(request, hospital.person(SCIENTIST, "consortium"), now)
    return read_request(file, "hospital-a", Trust(hospital.root.certificate), now)


def test_two_requests_in_the_same_words_are_two(hospital: Hospital) -> None:
    assert asked(hospital).content != asked(hospital).content


def test_an_approval_is_of_one_request(hospital: Hospital) -> None:
    record, one, other = EvaluationRecord(hospital.kit), asked(hospital), asked(hospital)
    record.rule(hospital.person(), one, "approved", "", datetime.now(UTC))
    assert (record.standing(one).word, record.standing(other).word) == ("approved", "waiting")
    assert record.unanswered() == (one.content,)
    record.note_returned(one, "b" * 64)
    assert record.standing(one).word == "returned" and record.unanswered() == ()


def test_a_reason_is_one_line(hospital: Hospital) -> None:
    with pytest.raises(ConfigError, match="reason"):
        EvaluationRecord(hospital.kit).rule(
            hospital.person(), asked(hospital), "approved", "two\nlines", datetime.now(UTC)
        )


def test_an_approval_that_was_written_by_hand_does_not_count(hospital: Hospital) -> None:
    record, mine, other = EvaluationRecord(hospital.kit), asked(hospital), asked(hospital)
    record.rule(hospital.person(), other, "approved", "", datetime.now(UTC))
    chain = Chain(record.folder / "requests.jsonl")
    body = chain.read()[-1].body
    forged = {**body["ruling"], "content": mine.content, "request": mine.request.model_dump(mode="json")}
    chain.append({**body, "ruling": forged})
    assert record.standing(mine).word == "waiting"


def test_a_line_that_is_none_stops_all(hospital: Hospital) -> None:
    record = EvaluationRecord(hospital.kit)
    Chain(record.folder / "requests.jsonl").append({"kind": "ruled"})
    with pytest.raises(LedgerError, match="line 1 of the requests"):
        record.standing(asked(hospital))
