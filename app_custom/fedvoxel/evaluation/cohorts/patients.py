"""Puts a patient's cases together: a datasheet counts patients, so that five scans of one are not five people."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedvoxel.evaluation.cohorts.case_record import CaseRecord
from fedvoxel.volumes.case_facts import CaseFacts
from fedvoxel.volumes.split import Split

_DIFFERS = "differs between scans"
_SEVERAL_SCANNERS = ("several scanners",)
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Patient:
    """Is one patient with all usable cases."""

    cases: tuple[CaseRecord, ...]

    @property
    def split(self) -> Split:
        """Returns the split, which is the same for all of a patient's cases."""
        return self.cases[0].facts.split

    @cached_property
    def sex(self) -> str:
        """Returns "female", "male", "other", "not known", or that it differs."""
        words = {"F": "female", "M": "male", "O": "other than female or male"}
        found = {words.get(str(case.known.get("PatientSex")), _UNKNOWN) for case in self.cases}
        return found.pop() if len(found) == 1 else _DIFFERS

    @cached_property
    def age(self) -> float | None:
        """Returns the age in years at the first scan of which it is known."""
        ages = [age for case in self.cases if isinstance(age := case.known.get("PatientAge"), float)]
        return min(ages, default=None)

    @cached_property
    def scanner(self) -> tuple[str, ...]:
        """Returns (modality, maker, model and field strength), the finest last."""
        found = {_scanner(case) for case in self.cases}
        return found.pop() if len(found) == 1 else _SEVERAL_SCANNERS

    @cached_property
    def marked(self) -> tuple[str, ...]:
        """Returns the classes that any of the cases marks."""
        first = self.cases[0].facts.voxels_per_class
        return tuple(name for name in first if any(case.facts.voxels_per_class[name] for case in self.cases))

    @cached_property
    def facts(self) -> CaseFacts:
        """Returns the mean of the cases' facts."""
        each = [case.facts for case in self.cases]
        x, y, z = np.mean([facts.spacing_mm for facts in each], axis=0)
        return CaseFacts(
            split=self.split,
            shape=tuple(round(float(size)) for size in np.mean([facts.shape for facts in each], axis=0)),
            spacing_mm=(float(x), float(y), float(z)),
            percentiles=tuple(float(value) for value in np.mean([facts.percentiles for facts in each], axis=0)),
            histogram=np.mean([facts.histogram for facts in each], axis=0),
            voxels_per_class=each[0].voxels_per_class,
        )

    def millilitres(self, name: str) -> float:
        """Returns the mean volume of a class over the cases that mark it, in mL."""
        volumes = [
            facts.voxels_per_class[name] * float(np.prod(facts.spacing_mm)) / 1000.0
            for facts in (case.facts for case in self.cases)
            if facts.voxels_per_class[name]
        ]
        return float(np.mean(volumes))


def patients_of(cases: Sequence[CaseRecord]) -> tuple[Patient, ...]:
    """Returns the patients, by pseudonym."""
    found: dict[str, list[CaseRecord]] = defaultdict(list)
    for case in cases:
        found[case.patient].append(case)
    return tuple(Patient(tuple(cases)) for _, cases in sorted(found.items()))


def _scanner(case: CaseRecord) -> tuple[str, ...]:
    modality, maker, model = (
        str(case.known.get(name, _UNKNOWN)) for name in ("Modality", "Manufacturer", "ManufacturersModelName")
    )
    if {modality, maker, model} == {_UNKNOWN}:
        return (_UNKNOWN,)
    field = case.known.get("MagneticFieldStrength")
    strength = f", {field:.3g} T" if isinstance(field, float) else ""
    return modality, maker if maker != _UNKNOWN else "maker not known", f"{model}{strength}"
