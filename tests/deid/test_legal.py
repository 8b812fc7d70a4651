"""The statements for two laws say what the policy does, name what is left, and never say that it complies."""

import re
from typing import Any

import pytest

from fedvoxel.deid.legal import Law, Line, legal_statement, lines_of
from fedvoxel.deid.policy import DeidPolicy

ALL_OF_IT = [f"({letter})" for letter in "ABCDEFGHIJKLMNOPQR"]


def policy(**changes: Any) -> DeidPolicy:
    return DeidPolicy(project="liver-2026", **changes)


def line(law: Law, place: str, what: str = "", **changes: Any) -> Line:
    return next(one for one in lines_of(law, policy(**changes)) if one.place == place and what in one.what)


def test_all_eighteen_identifiers_and_what_one_knows_have_a_line() -> None:
    assert [one.place for one in lines_of("hipaa", policy())] == [*ALL_OF_IT, "all of them", "(b)(2)(ii)"]


def test_all_steps_of_the_guide_have_a_line() -> None:
    assert {one.place for one in lines_of("pdpa", policy())} == {f"step {number}" for number in range(1, 6)}


@pytest.mark.parametrize(
    ("place", "change", "states"),
    [
        ("(C)", {"dates": "remove"}, ("a person decides", "removed")),
        ("(M)", {"device_identity": False}, ("a person decides", "removed")),
        ("(Q)", {"faces": "kept"}, ("a person decides", "stays")),
    ],
)
def test_it_goes_by_the_policy(place: str, change: dict[str, Any], states: tuple[str, str]) -> None:
    assert (line("hipaa", place).state, line("hipaa", place, **change).state) == states


def test_characteristics_are_told() -> None:
    assert "become 90" in line("hipaa", "(C)").how
    assert "ages are removed" in line("hipaa", "(C)", patient_characteristics=False).how
    assert line("pdpa", "step 3", "indirect").state == "stays"
    assert line("pdpa", "step 3", "indirect", patient_characteristics=False).state == "removed"


def test_moved_dates_are_not_passed_off_as_what_safe_harbor_wants() -> None:
    assert "none but the year" in line("hipaa", "(C)").how


@pytest.mark.parametrize(("law", "place"), [("hipaa", "all of them"), ("pdpa", "step 2")])
def test_text_in_the_image_is_told(law: Law, place: str) -> None:
    said = line(law, place, "text")
    assert said.state == "a person decides" and "refused" in said.how and "nothing here reads" in said.how


@pytest.mark.parametrize(("law", "place", "what"), [("hipaa", "(H)", ""), ("pdpa", "step 2", "pseudonyms")])
def test_patients_without_a_number_are_told(law: Law, place: str, what: str) -> None:
    assert "are refused" in line(law, place, what).how
    assert "StudyInstanceUID" in line(law, place, what, unnamed_patients="by_study").how


def test_a_code_that_is_derived_from_a_number_is_not_passed_off_as_removed() -> None:
    """164.514(c) wants one that is not derived from information about the person, and ours are."""
    for place in ("(H)", "(M)", "(R)"):
        assert line("hipaa", place).state == "a person decides" and "164.514(c)" in line("hipaa", place).how


@pytest.mark.parametrize("law", ["hipaa", "pdpa"])
def test_the_page_names_what_is_left_to_people_and_claims_nothing(law: Law) -> None:
    page = legal_statement(law, policy(faces="kept"))
    left = page.splitlines()[-1]
    assert left.startswith("Left to people:")
    for one in lines_of(law, policy(faces="kept")):
        assert (one.place in left) >= (one.state in ("stays", "a person decides"))
    assert not re.search(r"\b(is|are) (compliant|anonymous|de-identified)\b", page)
    assert page.count("\n| ") == len(lines_of(law, policy())) + 2 and "|  |" not in page
