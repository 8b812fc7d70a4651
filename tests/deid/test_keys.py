"""Pseudonyms: the same in every run, joined by nobody without the key, and the key is shown to nobody."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import RE_VALID_UID

from fedvoxel.deid.keys import DeidKeys
from tests.deid.opened import KEY, keys

TEXT = st.text(max_size=70)


def test_the_same_in_every_run_and_process() -> None:
    """A change here changes every pseudonym of every hospital."""
    assert keys().uid("1.2.3") == "2.25.174203710891650662650950737049697128962"
    assert keys().patient("4711", "") == "patient-4f8e430a4ea3ae8d"
    assert keys().device("SN-1") == "device-7eb38d3b0153"
    assert str(keys().shift("4711", "")) == "2369 days, 17:20:32"


@given(TEXT, TEXT)
def test_uids_are_proper_and_differ(one: str, other: str) -> None:
    import re

    uid = keys().uid(one)
    assert re.fullmatch(RE_VALID_UID, uid) and len(uid) <= 44
    assert (uid == keys().uid(other)) == (one == other)


@given(TEXT, TEXT)
def test_another_project_or_hospital_cannot_join(patient: str, issuer: str) -> None:
    others = (keys(project="other"), keys(key="f" * 64))
    for other in others:
        assert other.patient(patient, issuer) != keys().patient(patient, issuer)
        assert other.uid(patient) != keys().uid(patient)
        assert other.device(patient) != keys().device(patient)
    shifts = {keys(project=str(n)).shift(patient, issuer) for n in range(4)}
    assert len(shifts) == 4


@given(TEXT, TEXT)
def test_dates_move_by_a_day_at_least(patient: str, issuer: str) -> None:
    shift = keys().shift(patient, issuer)
    assert 1 <= shift.days <= 3650 and shift == keys().shift(patient, issuer)


def test_patient_and_issuer_are_told_apart() -> None:
    assert keys().patient("ab", "c") != keys().patient("a", "bc")


def test_the_key_is_shown_to_nobody() -> None:
    shown = f"{keys()!r} {keys()} {[keys()]}"
    assert shown.count("DeidKeys(hidden)") == 3 and KEY not in shown
    wrong = "5" * 63
    with pytest.raises(ValueError, match="64 hexadecimal") as caught:
        DeidKeys.of(wrong, "p")
    assert wrong not in str(caught.value)


def test_workers_get_the_same_keys() -> None:
    sent = pickle.dumps(keys())
    assert pickle.loads(sent).uid("1.2.3") == keys().uid("1.2.3")  # noqa: S301 - our own bytes
    assert bytes.fromhex(KEY) not in sent and KEY.encode() not in sent
