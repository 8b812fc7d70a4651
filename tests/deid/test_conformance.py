"""The statement says what the engine does."""

import csv
import io

from pydicom.tag import Tag

from fedvoxel.deid.conformance import as_csv, as_markdown, conformance_rows
from fedvoxel.deid.standard_table import ACTIONS
from tests.deid.opened import policy
from tests.deid.test_engine import cleaned_value


def _does(keyword: str, **changed: object) -> str:
    return next(row.does for row in conformance_rows(policy(**changed)) if row.attribute == keyword)


def test_every_attribute_of_the_standards_table_is_in_it() -> None:
    rows = conformance_rows(policy())
    tags = [row.tag for row in rows]
    assert {str(Tag(tag)) for tag in ACTIONS} <= set(tags)
    named = [tag for tag in tags if tag]
    assert len(set(named)) == len(named) and len(ACTIONS) > 600


def test_what_it_says_is_what_is_done() -> None:
    samples = {"LO": "Doe", "SH": "Doe", "PN": "Doe^Jane", "LT": "Doe", "ST": "Doe", "UT": "Doe", "DA": "20130405"}
    from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

    checked = 0
    for row in conformance_rows(policy()):
        tag = tag_for_keyword(row.attribute)
        if tag is None or not dictionary_has_tag(tag) or dictionary_VR(tag) not in samples:
            continue
        left = cleaned_value(row.attribute, samples[dictionary_VR(tag)])
        if row.does in ("removed",) or row.does.startswith(("written", "replaced by the patient", "kept in concepts")):
            assert left is None, row.attribute
        if row.does == "emptied":
            assert str(left) == "", row.attribute
        checked += 1
    assert checked > 300


def test_it_follows_the_policy() -> None:
    assert "keyed interval" in _does("StudyDate") and _does("StudyDate", dates="remove") == "emptied"
    assert _does("AcquisitionDate", dates="remove") == "removed"
    assert _does("PatientAge", patient_characteristics=False) == "removed"
    assert "113107" in as_markdown(policy()) and "113107" not in as_markdown(policy(dates="remove"))
    assert "Faces: kept" in as_markdown(policy(faces="kept"))
    assert "(0010,0010) | PatientName | Z | replaced by the patient's pseudonym" in as_markdown(policy())


def test_the_csv_has_the_same_rows() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(policy()))))
    assert rows[0] == ["tag", "attribute", "profile", "does", "option"]
    assert len(rows) == 1 + len(conformance_rows(policy()))
