import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.volumes.pseudonym import pseudonym
from fedvoxel.volumes.split import SPLITS, SplitFractions, split_of

PATIENTS = [f"patient-{number}" for number in range(2000)]


def test_splits_are_the_same_on_every_machine() -> None:
    expected = {"hippocampus_001": "training", "hippocampus_003": "training", "9709": "validation", "9418": "training"}
    for patient, split in expected.items():
        position = int(hashlib.sha256(patient.encode()).hexdigest()[:12], 16) / 16**12
        assert split == ("test" if position < 0.2 else "validation" if position < 0.3 else "training")
        assert split_of(patient, SplitFractions(validation=0.1, test=0.2)) == split


def test_fractions_are_met_on_average() -> None:
    splits = [split_of(patient, SplitFractions(validation=0.1, test=0.2)) for patient in PATIENTS]
    shares = [splits.count(split) / len(PATIENTS) for split in SPLITS]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.03)


def test_test_patients_stay_test_patients_whatever_validation_takes() -> None:
    for patient in PATIENTS:
        few = split_of(patient, SplitFractions(validation=0.1, test=0.2))
        many = split_of(patient, SplitFractions(validation=0.5, test=0.2))
        assert (few == "test") == (many == "test")


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_every_patient_has_exactly_one_split(patient: str, validation: float, test: float) -> None:
    if validation + test > 1:
        return
    assert split_of(patient, SplitFractions(validation=validation, test=test)) in SPLITS


@pytest.mark.parametrize(("fractions", "split"), [((0, 1), "test"), ((0, 0), "training"), ((1, 0), "validation")])
def test_extreme_fractions_take_everybody(fractions: tuple[float, float], split: str) -> None:
    chosen = SplitFractions(validation=fractions[0], test=fractions[1])
    assert {split_of(patient, chosen) for patient in PATIENTS} == {split}


@pytest.mark.parametrize("wrong", [{"validation": 0.6, "test": 0.5}, {"test": -0.1}, {"test": 1.5}, {"train": 0.5}])
def test_impossible_fractions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="the split is not valid"):
        parse_config(SplitFractions, wrong, "the split")


def test_pseudonyms_need_the_key() -> None:
    name = pseudonym("ab" * 32, "hippocampus_001")
    assert name == pseudonym("ab" * 32, "hippocampus_001") == "case-" + name[5:]
    assert len(name) == 17
    assert name != pseudonym("cd" * 32, "hippocampus_001")
    assert name != pseudonym("ab" * 32, "hippocampus_002")
