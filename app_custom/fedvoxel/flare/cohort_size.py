"""Whether a protected cohort has enough patients for what is promised them, as people at the hospital ask beforehand.

What is found names a number of patients, and stays at the hospital. Reads the lists of cases and opens no scan.
"""

from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget
from fedvoxel.privacy.targets import check_delta
from fedvoxel.volumes.layouts import list_cases
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.split import split_of


def training_patients(cohort: CohortConfig, base: Path) -> int:
    """Returns how many patients are listed for training, with all of a case's files in place.

    Args:
        cohort: The cohort's description.
        base: The folder that relative paths in the description count from.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    listed = {files.patient for files in list_cases(cohort, base) if files.problem is None}
    return sum(split_of(patient, cohort.split) == "training" for patient in listed)


def budget_problem(name: str, budget: CohortBudget, cohort: CohortConfig, base: Path) -> str | None:
    """Returns why the budget's delta promises its patients nothing; None where it does, or nobody is promised.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    patients = training_patients(cohort, base)
    if budget.unit != "patient" or not patients:
        return None
    try:
        check_delta(budget.delta, patients)
    except ConfigError as problem:
        return f"cohort {name}: {problem} (local/{PRIVACY_FILE})"
    return None
