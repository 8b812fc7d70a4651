"""The errors that FedVoxel raises on purpose, each with the exit code that its commands end with.

A message says what was expected, what came, and what to do. It never holds a patient's name,
identifier, voxel, or the path of a source file: cases are named by pseudonym and counts.
"""

from collections.abc import Iterator


class FedVoxelError(Exception):
    """Is the root of every error that a user can act on."""

    exit_code: int = 1


class ConfigError(FedVoxelError):
    """Says that a configuration, job or policy file cannot be used as it stands."""

    exit_code = 3


class VersionError(ConfigError):
    """Says that another release of FedVoxel is not understood: a participant's, or the one that wrote a kept file."""

    exit_code = 25


class GeometryError(FedVoxelError):
    """Says that a volume's voxels or geometry cannot be trusted; `reason` is a stable machine-readable code."""

    exit_code = 4

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CohortError(FedVoxelError):
    """Says that a cohort has no usable case, or that its description cannot be followed."""

    exit_code = 5


class NotBuiltError(CohortError):
    """Says that a cohort is built from DICOM and was not built yet, so that it has no list of cases."""


class UpdateError(FedVoxelError):
    """Says that a model update is not what the round asked for (keys, shapes, values, weight)."""

    exit_code = 6


class TooFewError(UpdateError):
    """Says that fewer sites have answered than a round needs."""


class SilentSitesError(UpdateError):
    """Says that too few sites answered, of which enough may another time: they were silent, and none was refused."""


class TrainingError(FedVoxelError):
    """Says that a trainer could not finish its task (crash, abort, out of memory, non-finite loss)."""

    exit_code = 7


class ConsortiumError(FedVoxelError):
    """Says that provisioning, a startup kit or a certificate is not in order."""

    exit_code = 8


class SiteCheckError(FedVoxelError):
    """Says that a site is not ready to start."""

    exit_code = 9


class JobError(FedVoxelError):
    """Says that a job was refused, failed, or left no usable result."""

    exit_code = 10


class NoAnswerError(JobError):
    """Says that the server does not answer about a job; it may when one has logged in again."""


class DownloadError(FedVoxelError):
    """Says that a public data set could not be fetched or does not match its checksum."""

    exit_code = 11


class LedgerError(FedVoxelError):
    """Says that an append-only ledger cannot be trusted or written, or that an entry does not fit what stands there."""

    exit_code = 12


class DiskFullError(LedgerError):
    """Says that a ledger could not be written for want of room: what was to be recorded can be when there is some."""


class LockedError(LedgerError):
    """Says that a ledger stays locked by another process, such as a backup: what was to be recorded can be later."""

    exit_code = 12


class BudgetExceededError(FedVoxelError):
    """Says that a release would pass the privacy budget that the site's own policy grants; nothing was released."""

    exit_code = 13


class PrivacyAuditError(FedVoxelError):
    """Says that an audit proved more leakage than a job claims; only its exit code is used, after the findings."""

    exit_code = 14


class DicomError(FedVoxelError):
    """Says that a PACS did not do what was asked, or that a DICOM file cannot be read; `reason` is a stable code."""

    exit_code = 15

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeidError(FedVoxelError):
    """Says that a series cannot be de-identified by the site's own settings; `reason` is a stable code."""

    exit_code = 16

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PackageError(FedVoxelError):
    """Says that a package, a signature or an index of releases is not whole, or not to be trusted."""

    exit_code = 17


class PredictionError(FedVoxelError):
    """Says that a model was not used on a study, or that its result was not handed out; `reason` is a stable code."""

    exit_code = 18

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ReleaseGateError(FedVoxelError):
    """Says that a package was not released, since a reader study that the release needs is missing or falls short."""

    exit_code = 20


class PromotionError(FedVoxelError):
    """Says that a package was not promoted: a gate is red, or what it asks for is missing; the index is as it was."""

    exit_code = 30


class BackupError(FedVoxelError):
    """Says that a backup was not made, is not whole, does not open, or was not put back; nothing was overwritten."""

    exit_code = 26


class ReviewError(FedVoxelError):
    """Says that a reading cannot be shown, or that what a reader sent does not fit what is kept of the case."""

    exit_code = 19


class TrackerError(FedVoxelError):
    """Says that a tracker did not take what it was sent; the run is not touched, and a later call sends the rest."""

    exit_code = 27


class DriftError(FedVoxelError):
    """Says that a model in use meets images, or finds volumes, that are not like those that it was calibrated on."""

    exit_code = 28


class GateError(FedVoxelError):
    """Says that a pipeline's gate lets a model go no further: nothing was exported, and nothing registered."""

    exit_code = 29


class StepError(FedVoxelError):
    """Says that a step of a pipeline failed; its exit code is that of the command which failed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Returns an error and everything that it was made from, as urllib3 and requests nest them."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        nested = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [item for item in nested if isinstance(item, BaseException)]
