"""Whether a protected cohort has enough patients for what is promised them.

The real number, from the lists of cases, is for people at the hospital, who ask beforehand. What a site answers to a
job follows from the number that the hospital has written into its policy, and from no other: a job declined for the
real one would tell it, bit by bit and for nothing. Opens no scan.
"""

from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, load_privacy_policy
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.privacy.targets import check_delta
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.split import split_of


def training_patients(site: SiteConfig, name: str, base: Path) -> int:
    """Returns how many patients are listed for training, with all of a case's files in place.

    Args:
        site: The site's own file.
        name: One of its cohorts.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    cohort = site.cohort(name)
    listed = {files.patient for files in admitted_cases(site, cohort, base) if files.problem is None}
    return sum(split_of(patient, cohort.split) == "training" for patient in listed)


def check_declared_size(
    local: Path, cohort: str, section: PatientMechanismConfig | HospitalMechanismConfig | None
) -> None:
    """Checks a job against the number of patients that the hospital has declared, where it has declared one.

    Args:
        local: The kit's `local/` folder.
        cohort: The cohort that the job names.
        section: The job's privacy section.

    Raises:
        ConfigError: The job's batch or delta asks for more patients; or the policy has no entry for the cohort.
    """
    entry = load_privacy_policy(local).of(cohort)
    if not isinstance(section, PatientMechanismConfig) or not isinstance(entry, CohortBudget):
        return
    if entry.patients_at_least is not None:
        PatientMechanism(section).check_cohort(entry.patients_at_least)


def budget_problem(name: str, budget: CohortBudget, site: SiteConfig, base: Path) -> str | None:
    """Returns why what the policy says of a cohort does not go with its real number of patients; None where it does.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    patients, declared = training_patients(site, name, base), budget.patients_at_least
    if declared is not None and patients < declared:
        return f"cohort {name}: patients_at_least is {declared}, it has {patients} to train on (local/{PRIVACY_FILE})"
    if budget.unit != "patient" or not patients:
        return None
    try:
        check_delta(budget.delta, patients)
    except ConfigError as problem:
        return f"cohort {name}: {problem} (local/{PRIVACY_FILE})"
    return None
