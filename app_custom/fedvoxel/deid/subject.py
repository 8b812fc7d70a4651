"""Whom a series is of, and what may be said of them: all that a rule looks at beside the value."""

from dataclasses import dataclass, field
from datetime import timedelta

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy


@dataclass(frozen=True, repr=False, eq=False)
class Subject:
    """Is one patient under one policy; shows nothing of them.

    Attributes:
        policy: What was chosen for the cohort.
        keys: The project's keys.
        pseudonym: The patient's new name.
        shift: What is taken from all dates of the patient.
        names: Names and codes ("SCT|10200004") of segments and structures that may stay.
        uids: The new UID of each UID seen so far.
    """

    policy: DeidPolicy
    keys: DeidKeys
    pseudonym: str
    shift: timedelta
    names: frozenset[str]
    uids: dict[str, str] = field(default_factory=dict)

    def uid(self, uid: str) -> str:
        """Returns the new UID of `uid`."""
        new = self.uids.get(uid)
        if new is None:
            new = self.uids[uid] = self.keys.uid(uid)
        return new


def subject_of(identity: tuple[str, str], policy: DeidPolicy, keys: DeidKeys, names: frozenset[str]) -> Subject:
    """Returns the subject with this (PatientID, IssuerOfPatientID)."""
    return Subject(policy, keys, keys.patient(*identity), keys.shift(*identity), names)
