"""The hospital's own privacy policy, `local/fedvoxel_privacy.json`: what may leave about each cohort, and at what cost.

Each cohort that a job may use has an entry: a budget, which all runs together never pass, or the hospital's explicit
decision that there is none, or that its cases are public. A cohort without an entry, or a file that is missing or
wrong, grants nothing: nothing leaves. A job can neither read nor change the policy.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, load_json_config, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import CohortName

PRIVACY_FILE = "fedvoxel_privacy.json"
"""The name of the policy in the kit's `local/` folder."""

_Terms = TypeVar("_Terms", bound=FrozenModel)

_WHAT = "the site's privacy policy"
_BUDGET_ENTRY = '{"unit": "patient", "epsilon": ..., "delta": ...}'


class CohortBudget(FrozenModel):
    """Says what may be spent on one cohort over all runs, for as long as it exists.

    Attributes:
        unit: Who is protected.
        epsilon: Upper bound of the sum of all runs' epsilon, > 0.
        delta: Upper bound of the sum of all runs' delta, in (0, 1); at most a tenth of one over the number of patients
            is advised.
        patients_at_least: As many training patients the hospital says, in public, that the cohort has: jobs that need
            more are declined. None where it says nothing, and no job is declined for its number of patients.
        in_sums: Lets jobs share their noise among the hospitals, in sums of so many; None wants the whole noise here.
    """

    unit: PrivacyUnit
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    patients_at_least: int | None = Field(default=None, ge=1)
    in_sums: InSums | None = None

    @model_validator(mode="after")
    def _says_how_many_of_its_unit(self) -> Self:
        if self.patients_at_least is not None and self.unit != "patient":
            raise ValueError(f"patients_at_least goes with unit 'patient', not {self.unit!r}")
        return self


class ReaderStudies(FrozenModel):
    """Lets counts of what the hospital's readers said about this cohort leave.

    Attributes:
        minimum_cases: No number that leaves is about fewer cases.
    """

    minimum_cases: int = Field(default=5, ge=5, le=1000)


class DriftWatches(FrozenModel):
    """Lets counts and means of images leave that a model in use has met, of patients like this cohort's.

    Attributes:
        minimum_images: No number that leaves is about fewer images.
    """

    minimum_images: int = Field(default=5, ge=5, le=500)


class Evaluations(FrozenModel):
    """Lets means and counts of a package judged on this cohort leave, each time that people of the hospital approve it.

    Attributes:
        minimum_patients: No number that leaves is about fewer patients.
    """

    minimum_patients: int = Field(default=5, ge=5, le=1000)


class NoBudget(FrozenModel):
    """Says that updates about this cohort may leave without a formal guarantee: an explicit decision of the hospital.

    Attributes:
        unit: Nobody is protected.
        in_sums: Lets them leave masked only, as parts of sums of so many sites; None lets them leave as they are.
        reader_studies: Lets counts of a reader study leave; None lets nothing of it leave.
        drift_watches: Lets counts of a drift watch leave; None lets nothing of it leave.
        evaluations: Lets what a package is worth on it leave; None lets nothing of it leave.
    """

    unit: Literal["none"] = "none"
    in_sums: InSums | None = None
    reader_studies: ReaderStudies | None = None
    drift_watches: DriftWatches | None = None
    evaluations: Evaluations | None = None


class PublicCohort(FrozenModel):
    """Says that the hospital declares these cases public: nothing is counted, and its answers to rounds say so.

    Attributes:
        unit: Nobody needs protection.
        reader_studies: Lets counts of a reader study leave; None lets nothing of it leave.
        drift_watches: Lets counts of a drift watch leave; None lets nothing of it leave.
        evaluations: Lets what a package is worth on it leave; None lets nothing of it leave.
    """

    unit: Literal["public"] = "public"
    reader_studies: ReaderStudies | None = None
    drift_watches: DriftWatches | None = None
    evaluations: Evaluations | None = None


CohortEntry = Annotated[CohortBudget | NoBudget | PublicCohort, Field(discriminator="unit")]
"""What a hospital has decided about one cohort; `unit` tells which."""


class PrivacyPolicy(FrozenModel):
    """Is the content of `local/fedvoxel_privacy.json`."""

    schema_version: Literal[1]
    cohorts: dict[CohortName, CohortEntry] = Field(default_factory=dict)

    def of(self, cohort: str) -> CohortBudget | NoBudget | PublicCohort:
        """Returns what the hospital has decided about a cohort.

        Raises:
            ConfigError: Nothing, so that nothing may leave about it.
        """
        if cohort not in self.cohorts:
            had = ", ".join(sorted(self.cohorts)) or "none"
            raise ConfigError(
                f"{_WHAT} has no entry for cohort {cohort!r} (it has for: {had}); the site writes one to "
                f'local/{PRIVACY_FILE}: {_BUDGET_ENTRY}, {{"unit": "none"}} for no formal guarantee, or '
                '{"unit": "public"} for cases that anybody may see'
            )
        return self.cohorts[cohort]

    def budgets(self) -> dict[str, CohortBudget]:
        """Returns the budgets of all cohorts that have one, by cohort."""
        return {name: entry for name, entry in self.cohorts.items() if isinstance(entry, CohortBudget)}

    def decided(self, kind: type[CohortBudget | NoBudget | PublicCohort]) -> list[str]:
        """Returns the cohorts about which this kind of decision was taken, sorted by name."""
        return sorted(name for name, entry in self.cohorts.items() if isinstance(entry, kind))

    def reader_studies(self, cohort: str) -> ReaderStudies:
        """Returns on what terms counts of a reader study of this cohort may leave.

        Raises:
            ConfigError: On none.
        """
        return self._terms(cohort, ReaderStudies, "reader_studies", "a reader study")

    def drift_watches(self, cohort: str) -> DriftWatches:
        """Returns on what terms counts of a model's use on such patients may leave.

        Raises:
            ConfigError: On none.
        """
        return self._terms(cohort, DriftWatches, "drift_watches", "a drift watch")

    def evaluations(self, cohort: str) -> Evaluations:
        """Returns on what terms what a package is worth on this cohort may leave, where people approve it each time.

        Raises:
            ConfigError: On none.
        """
        return self._terms(cohort, Evaluations, "evaluations", "an evaluation")

    def _terms(self, cohort: str, kind: type[_Terms], key: str, what: str) -> _Terms:
        entry = self.of(cohort)
        terms = None if isinstance(entry, CohortBudget) else getattr(entry, key)
        if not isinstance(terms, kind):
            least = kind().model_dump_json()
            raise ConfigError(
                f"{_WHAT} lets nothing of {what} of cohort {cohort!r} leave; to let counts and means leave, the site "
                f'adds "{key}": {least} to its entry in local/{PRIVACY_FILE}; a cohort with a budget has none'
            )
        return terms

    def budget(self, cohort: str) -> CohortBudget:
        """Returns what may be spent on a cohort.

        Raises:
            ConfigError: The policy grants nothing for it.
        """
        entry = self.of(cohort)
        if not isinstance(entry, CohortBudget):
            raise ConfigError(
                f"{_WHAT} grants no budget for cohort {cohort!r}: its unit is {entry.unit!r}, so nothing can be spent "
                f"or promised; to protect its patients the site writes {_BUDGET_ENTRY} to local/{PRIVACY_FILE}"
            )
        return entry


def load_privacy_policy(local: Path) -> PrivacyPolicy:
    """Reads the policy in a kit's `local/` folder.

    Raises:
        ConfigError: It is missing, is not JSON, or has a wrong key.
    """
    return load_json_config(PrivacyPolicy, local / PRIVACY_FILE, _WHAT)


def write_privacy_policy(local: Path, policy: PrivacyPolicy) -> None:
    """Writes the policy into a kit's `local/` folder, whole or not at all, for its owner alone."""
    write_json(local / PRIVACY_FILE, policy.model_dump(mode="json", exclude_none=True), mode=0o600)


def grant(local: Path, cohort: str, entry: CohortBudget | NoBudget | PublicCohort) -> None:
    """Writes the hospital's decision about one cohort into its policy, in place of an earlier one.

    Args:
        local: The kit's `local/` folder, with a policy in it.
        cohort: The cohort's name.
        entry: What is decided.

    Raises:
        ConfigError: The present policy is missing or wrong, and is left as it is, or the name is not usable.
    """
    present = load_privacy_policy(local)
    decided = {**present.cohorts, cohort: entry}
    write_privacy_policy(local, parse_config(PrivacyPolicy, {"schema_version": 1, "cohorts": decided}, _WHAT))
