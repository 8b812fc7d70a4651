"""What the server does for a job's privacy section: receipts of every update, and the noise where that is the server's.

Without a section it does nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.receipts import Receipts
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig, read_section
from fedvoxel.privacy.server_ledger import ServerLedger

if TYPE_CHECKING:
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.shared_noise import SharedNoise


@dataclass(frozen=True)
class ServerPrivacy:
    """Is the server's part of one run's privacy.

    Attributes:
        section: The job's section, as JSON; None protects nobody.
        receipts: What is written down of every accepted update and every release; None without a privacy section.
        mechanism: What clips, sums and adds noise here; None where the sites do, or nobody.
        shared: Reads the sums to which each site has added a share of the noise; None where none does.
    """

    section: dict[str, Any] | None = None
    receipts: Receipts | None = None
    mechanism: "HospitalMechanism | None" = None
    shared: "SharedNoise | None" = None

    def note_released(self, committed: int, keep: Callable[[], str]) -> None:
        """Has the ledger say that the model after so many rounds may leave, where noise was added to it here.

        Args:
            committed: Rounds whose models are safe in the run's journal.
            keep: Writes the model's bytes, synced, and returns their SHA-256.

        Raises:
            LedgerError: The ledger cannot be trusted or written.
            OSError: The bytes cannot be written.
        """
        if committed and self.mechanism and self.receipts and not self.receipts.is_released(committed - 1):
            self.receipts.release(committed - 1, keep())

    def write(self) -> None:
        """Writes the receipts of what was accepted since the last time.

        Raises:
            LedgerError: The ledger cannot be trusted or written.
        """
        if self.receipts:
            self.receipts.write()


def server_privacy(section: Any, state: Path, run: tuple[str, str, int], sites: int) -> ServerPrivacy:
    """Returns the server's part of a run's privacy.

    Args:
        section: The job's privacy section as JSON; None protects nobody.
        state: The `state/` folder of the server's kit.
        run: The run's key, the present attempt's job, and how many rounds are in the run's journal.
        sites: Number of sites in the job.

    Raises:
        ConfigError: The section is wrong, divides by fewer sites than there are, or is another than at an earlier
            attempt; or the run has released rounds before.
        LedgerError: The server's ledger cannot be read or trusted.
    """
    if section is None:
        return ServerPrivacy()
    config, ledger = read_section(section), ServerLedger(state)
    run_key, job_id, committed = run
    # The sampler behind both takes a moment to import, which other jobs are spared.
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.patient_mechanism import PatientMechanism

    if not isinstance(config, HospitalMechanismConfig):
        event = PatientMechanism(config).round_event()
        ledger.check_same_event(run_key, event)
        return ServerPrivacy(section, Receipts(ledger, run_key, job_id, event), shared=_shared(config, sites))
    _check_sites("privacy.sites", config.sites, sites)
    mechanism = HospitalMechanism(config)
    ledger.check_same_event(run_key, mechanism.round_event())
    ledger.check_unreleased(run_key, committed)
    return ServerPrivacy(section, Receipts(ledger, run_key, job_id, mechanism.round_event()), mechanism)


def _shared(config: PatientMechanismConfig, sites: int) -> "SharedNoise | None":
    from fedvoxel.privacy.shared_noise import SharedNoise

    if config.shared_noise is None:
        return None
    _check_sites("privacy.shared_noise.sites", config.shared_noise.sites, sites)
    return SharedNoise(config)


def _check_sites(key: str, said: int, sites: int) -> None:
    if sites > said:
        raise ConfigError(f"{key} is {said}, and {sites} sites are in this job; expected as many or more")
