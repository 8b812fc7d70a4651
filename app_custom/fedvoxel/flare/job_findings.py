"""What can be said of a job before anyone is asked: whether its files, its arguments and its network are in order."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_claim import claim_of_job
from fedvoxel.flare.job_kinds import JobContent, understand
from fedvoxel.governance.finding import Finding, error, ok, warning
from fedvoxel.governance.job_folder import code_in, read_job_folder


@dataclass(frozen=True)
class StaticReport:
    """Holds what was found without asking anyone.

    Attributes:
        content: The job; None where it cannot be understood.
        code: The files in it that are code.
        findings: What was found, an error for each reason to refuse it.
    """

    content: JobContent | None
    code: tuple[str, ...]
    findings: tuple[Finding, ...]


def examine(folder: Path) -> StaticReport:
    """Reads a job and says what is wrong with it."""
    code: tuple[str, ...] = ()
    try:
        code = code_in(folder)
        job = read_job_folder(folder)
    except ConfigError as problem:
        return StaticReport(None, code, (error("folder", str(problem)),))
    findings = [ok("folder", "JSON only, no code")]
    try:
        content = understand(job)
    except ConfigError as problem:
        return StaticReport(None, code, (*findings, error("config", str(problem))))
    findings += [ok("config", "all keys known and in range"), *_quorum_findings(content), *_training_findings(content)]
    findings += _privacy_findings(content)
    return StaticReport(content, code, tuple(findings))


def _quorum_findings(content: JobContent) -> list[Finding]:
    needed, starts = content.updates_needed, content.folder.meta.min_clients
    if starts >= needed:
        return []
    return [warning("config", f"the job starts with {starts} sites, a round needs {needed}; set min_clients={needed}")]


def _training_findings(content: JobContent) -> list[Finding]:
    if not isinstance(content.client, SiteArgs):
        return []
    if find_spec("torch") is None or find_spec("monai") is None:
        missing = "MONAI is not installed here; install fedvoxel[site], or ask the sites with --kit"
        return [warning("network", f"network, loss and sizes were not checked: {missing}")]
    from fedvoxel.training.dry_run import dry_run

    training = content.client.training
    try:
        parameters = dry_run(training, len(content.client.classes) + 1, _protects_patients(content.client))
    except ConfigError as problem:
        return [error("network", str(problem))]
    built = f"{training.network.name} with {parameters:,} parameters"
    if training.flower:
        return [ok("network", f"{built} can be built; each site's Flower app {training.flower.app!r} trains it")]
    return [ok("network", f"{built} and {training.loss.name} can be built, and the sizes fit")]


def _protects_patients(client: SiteArgs) -> bool:
    return client.privacy is not None and client.privacy.unit == "patient"


def _privacy_findings(content: JobContent) -> list[Finding]:
    """Says what the job gives; a claim that falls although the job pays for it is worth a warning."""
    if not isinstance(content.server, FedAvgArgs):
        return []
    given = claim_of_job(content.folder, content.server)
    said = given.claim.text + (f", provided that {given.condition}" if given.condition else "")
    if content.server.privacy is None or given.claim.guarantee:
        return [ok("privacy", said)]
    open_ones = (channel for channel in given.claim.channels if channel.status == "open")
    return [warning("privacy", f"{said}: {'; '.join(f'{channel.name}: {channel.why}' for channel in open_ones)}")]
