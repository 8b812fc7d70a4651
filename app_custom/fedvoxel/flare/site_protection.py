"""What a hospital's policy, as it stands now, asks of a job that uses one of its cohorts.

The policy may change while a job runs: a cohort that was open may get a budget, and a budget may be lowered. So it is
looked at when a run starts, again for each of its tasks, and whenever somebody asks how far training is.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import ConfigError
from fedvoxel.flare.cohort_size import check_declared_size
from fedvoxel.flare.patient_promises import check_promises, ledgers_of
from fedvoxel.flare.state_folder import check_run_key
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import open_kit, upstream_names
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PublicCohort, load_privacy_policy
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.updates.secure.terms import Terms

Section = PatientMechanismConfig | HospitalMechanismConfig

if TYPE_CHECKING:
    from fedvoxel.flare.private_rounds import PrivateRounds


def private_rounds(
    local: Path,
    cohort: str,
    section: Section | None,
    run_key: str,
    job_id: str,
) -> "PrivateRounds | None":
    """Returns what stands between the trainer and the cohort's ledger; None where nobody is protected.

    Args:
        local: The kit's `local/` folder.
        cohort: The cohort that the job names.
        section: The job's privacy section.
        run_key: Names the run.
        job_id: The present attempt.

    Raises:
        ConfigError: The hospital protects the cohort and the job does not, or the other way round, or a patient of the
            cohort would not be protected as the policy says, or fewer patients are declared than the job needs.
    """
    charged_too = check_promises(local, cohort)
    if section is None:
        if isinstance(load_privacy_policy(local).of(cohort), CohortBudget):
            # Not left to the outbound filter: what is trained can be watched, too, with show_stats.
            raise ConfigError(f"cohort {cohort!r} is protected here, and the job has no privacy section")
        return None
    check_declared_size(local, cohort, section)
    sums_of(local, cohort, section)
    # The accountant behind it takes a second to import, which other jobs are spared.
    from fedvoxel.flare.private_rounds import PrivateRounds
    from fedvoxel.privacy.ledger import open_ledger

    ledger = open_ledger(local, local.parent / "state", cohort)
    return PrivateRounds(ledger, section, check_run_key(run_key), job_id, ledgers_of(local, charged_too))


def may_be_watched(local: Path, cohort: str) -> bool:
    """Returns whether the policy lets anybody see how training on the cohort goes on: its steps, its loss, its time."""
    try:
        entry = load_privacy_policy(local).of(cohort)
        return isinstance(entry, PublicCohort) or (isinstance(entry, NoBudget) and entry.in_sums is None)
    except ConfigError:
        return False


def sums_of(local: Path, cohort: str, section: Section | None) -> InSums | None:
    """Returns what is asked here of sums that updates about a cohort go into; None where nothing is.

    Args:
        local: The kit's `local/` folder.
        cohort: The cohort that the job names.
        section: The job's privacy section.

    Raises:
        ConfigError: The policy cannot be read, or says nothing about the cohort; or the noise of the job is shared and
            the hospital has not said that it may be, or with more trust in the others than it has.
    """
    entry = load_privacy_policy(local).of(cohort)
    asked = None if isinstance(entry, PublicCohort) else entry.in_sums
    shared = section.shared_noise if isinstance(section, PatientMechanismConfig) else None
    if shared is None:
        return asked
    if asked is None or shared.least_sites < asked.least_sites or shared.colluders < asked.colluders:
        wanted = "the whole noise from this hospital alone"
        if asked:
            wanted = f"sums of {asked.least_sites} sites at least that count on {asked.colluders} colluders at least"
        raise ConfigError(
            f"this hospital's policy wants {wanted} about cohort {cohort!r} (in_sums); the job shares its noise in "
            f"sums of {shared.least_sites} sites at least and counts on {shared.colluders} colluders"
        )
    return asked.model_copy(update={"least_sites": shared.least_sites})


def terms_of(kit: Path, cohort: str, section: Section | None) -> Terms:
    """Returns what this hospital asks of a round of secure aggregation about a cohort.

    Args:
        kit: The kit's folder.
        cohort: The cohort that the job names.
        section: The job's privacy section.

    Raises:
        ConfigError: See `sums_of`.
        ConsortiumError: The kit does not say whom it connects to, or its revocation list cannot be used.
    """
    asked = sums_of(kit / "local", cohort, section)
    shared = section.shared_noise if isinstance(section, PatientMechanismConfig) else None
    most = section.sites if isinstance(section, HospitalMechanismConfig) else shared.sites if shared else None
    return Terms(
        least_sites=asked.least_sites if asked else 0,
        most_sites=most,
        colluders=max(asked.colluders if asked else 0, shared.colluders if shared else 0),
        partners=asked.partners if asked else None,
        never=upstream_names(kit),
        lists=site_lists(open_kit(kit)),
    )


def check_in_sums(local: Path, cohort: str, masked: bool) -> None:
    """Refuses a round whose update would leave by itself, where the hospital lets it leave in sums only.

    The outbound filter would stop it too, but could not say why.

    Raises:
        ConfigError: It would, or the policy cannot be read.
    """
    entry = load_privacy_policy(local).of(cohort)
    # With a budget for patients a job may add the whole noise here instead.
    only_in_sums = not isinstance(entry, PublicCohort) and entry.in_sums and entry.unit != "patient"
    if only_in_sums and not masked:
        raise ConfigError(
            f"this hospital lets updates about cohort {cohort!r} leave masked only, as parts of a sum: give the job "
            "rounds.secure_aggregation"
        )
