"""The Applied Model Card of a pack is one by CHAI's own schema, says what artefacts say, and what nobody has said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema

from fedvoxel.governance.evidence.artefact import Artefact
from fedvoxel.governance.evidence.chai_card import NAMESPACE, chai_card
from fedvoxel.governance.evidence.collecting import collect
from fedvoxel.governance.evidence.form import QUESTIONS
from fedvoxel.governance.evidence.page_words import HUMAN

from .evidence_sample import A, B, Sample, evidence_sample
from .test_evidence import package_of, subject_of

SCHEMA = Path(__file__).parent / "chai_v0_2.xsd"
STATED = {field: f"what was said of {field}" for field in QUESTIONS}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return evidence_sample(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMA, allow="local", use_fallback=True)


def artefacts(sample: Sample, package: bool = True) -> list[Artefact]:
    return collect(subject_of(sample, A, B), package_of(sample) if package else None, [sample.results])


def texts(card: bytes) -> dict[str, str]:
    """Returns the text of every element that has some, by its name; of several the last."""
    found = ElementTree.fromstring(card).iter()  # noqa: S314 - a card that was just made
    return {one.tag.removeprefix(f"{{{NAMESPACE}}}"): one.text for one in found if one.text and one.text.strip()}


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize("answers", [{}, STATED])
def test_it_is_one_by_chais_schema(
    package: bool, answers: dict[str, str], sample: Sample, schema: xmlschema.XMLSchema
) -> None:
    schema.validate(chai_card(artefacts(sample, package), answers).decode())


def test_the_schema_sees_an_element_that_is_missing(sample: Sample, schema: xmlschema.XMLSchema) -> None:
    card = chai_card(artefacts(sample), {}).decode()
    without = card.replace("<FundingSource>", "<Funding>").replace("</FundingSource>", "</Funding>")
    assert not schema.is_valid(without)


def test_it_says_what_the_artefacts_say(sample: Sample) -> None:
    card = chai_card(artefacts(sample), {}).decode()
    told = texts(card.encode())
    assert told["ModelName"] == "hippocampus" and told["ReleaseVersion"] == "1.0.0" and told["Keyword"] == "cord"
    assert "site-1" in card and A not in card and "no formal guarantee" in told["Summary"]
    value: dict[str, Any] = {"kind": "estimate_ci", "estimate": 0.8712}
    assert any(value.items() <= json.loads(one).items() for one in values(card))
    assert "For research use only" in told["RegulatoryApproval"]


def values(card: str) -> list[str]:
    found = ElementTree.fromstring(card).iter(f"{{{NAMESPACE}}}ValueJson")  # noqa: S314 - a card that was just made
    return [str(one.text) for one in found]


def test_what_only_people_can_say_is_theirs_or_needed(sample: Sample) -> None:
    blank, filled = (texts(chai_card(artefacts(sample), answers)) for answers in ({}, STATED))
    for element, field in (("FundingSource", "funding"), ("TargetedPatientPopulation", "population")):
        assert blank[element] == HUMAN and filled[element] == STATED[field]
    assert HUMAN not in " ".join(filled.values())


def test_a_card_that_does_not_count_says_so_and_tells_no_more(sample: Sample) -> None:
    doubted = [
        replace(one, entry=one.entry.model_copy(update={"check": "unverified"})) if one.entry.sha256 else one
        for one in artefacts(sample)
    ]
    told = texts(chai_card(doubted, {}))
    assert "No log that can be trusted" in told["Summary"] and "not told" in told["Summary"]
    assert told["ReleaseDate"] == told["ReleaseStage"] == "No release is known."
    assert "No log that can be trusted" not in texts(chai_card(artefacts(sample), {}))["Summary"]


def test_what_xml_cannot_say_is_left_out(sample: Sample, schema: xmlschema.XMLSchema) -> None:
    card = chai_card(artefacts(sample), STATED | {"funding": "a <b> & \x00\x0b]]> c"})
    schema.validate(card.decode())
    assert texts(card)["FundingSource"] == "a <b> & ]]> c"


def test_it_is_made_the_same_each_time(sample: Sample) -> None:
    assert chai_card(artefacts(sample), STATED) == chai_card(artefacts(sample), STATED)
