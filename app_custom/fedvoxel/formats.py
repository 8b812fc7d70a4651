"""Every format that is kept on disk, and which of its versions this release reads: the one table of them.

A file says its version as `schema_version`; a line of a ledger or log that says none is of version 1. A release reads
what it writes and what the release before it wrote. Where the two differ, a step turns the older content into the newer
while it is read: nothing that is kept is rewritten, so that chains still verify and the release before, put back, finds
its files as it left them. So the lines of ledgers and logs are read for ever, whatever their version. What is signed as
a whole gets no step, since it is verified as it was signed.

To change a format: raise its `writes`, keep the version before in `reads`, write the step, and add a file of the
release before to the tests. `config.parse_config` and the readers of chains come through here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedvoxel import __version__
from fedvoxel.errors import VersionError

Content = Mapping[str, Any]
Step = Callable[[Content], Content]
"""Returns a version's content as the next version has it."""


@dataclass(frozen=True)
class Format:
    """Is one format.

    Attributes:
        name: The class in this package that holds its content, by module and name; of a chain's lines, what they are.
        kept: Where it is kept.
        writes: The newest version; this release writes it.
        reads: Every version that it reads.
        steps: By version, what makes the next one of it, where the two differ in more than the number.
    """

    name: str
    kept: str
    writes: int = 1
    reads: tuple[int, ...] = (1,)
    steps: Mapping[int, Step] = field(default_factory=dict)


PRIVACY_LEDGER = "a privacy ledger's line"
SERVER_LEDGER = "a line of the server's ledger"
AUDIT_LOG = "a line of the audit log"

_RUN = "the job's result, and state/runs/"
_COHORT = "the cohort's folder"
_PACKAGE = "a package"
_REVIEW = "a reading's folder"
_EVIDENCE = "a pack of evidence"


def _events_of_all_kinds(answer: Content) -> Content:
    """Takes a line that knew refused and missing answers only, and called them so in `kind`."""
    if set(answer) - {"schema_version"} != {"kind", "run_key", "job_id", "task", "round", "site", "reason"}:
        raise ValueError("no line of version 1")
    return {**answer, "kind": "answer", "outcome": answer["kind"]}


FORMATS: tuple[Format, ...] = (
    Format(PRIVACY_LEDGER, "state/privacy/COHORT/ledger.jsonl"),
    Format(SERVER_LEDGER, "state/privacy/server.jsonl"),
    Format(AUDIT_LOG, "state/audit/audit.jsonl", writes=2, reads=(1, 2), steps={1: _events_of_all_kinds}),
    Format("privacy.policy.PrivacyPolicy", "local/fedvoxel_privacy.json"),
    Format("volumes.site.SiteConfig", "local/fedvoxel_site.json"),
    Format("volumes.exclusions._Anchor", "local/fedvoxel_exclusions.json"),
    Format("governance.approval_policy.ApprovalPolicy", "local/fedvoxel_approval.json"),
    Format("governance.countersigning.Question", "what a site countersigns"),
    Format("governance.evaluation_request.EvaluationRequest", "a request in a datasite's box"),
    Format("governance.evaluation_ruling.Ruling", "state/evaluation_requests/requests.jsonl"),
    Format("evaluation.judgement.told.Told", "state/evaluations_told/told.jsonl"),
    Format("ops.datasite.answer.Answer", "an answer in a datasite's box"),
    Format("governance.incidents.statement.IncidentStatement", "state/incidents/incidents.jsonl"),
    Format("governance.sites_heard.SitesHeard", "state/sites_heard.json"),
    Format("governance.withdrawal_certificate.WithdrawalStatement", "a certificate of withdrawal"),
    Format("governance.consortium.ConsortiumRecord", "the consortium's workspace"),
    Format("flare.consortium_processes._Running", "the consortium's workspace"),
    Format("federation.outcome.RunOutcome", _RUN),
    Format("federation.kept_models.KeptModel", "state/runs/RUN/before_joining/"),
    Format("flare.round_journal.JournalEntry", "state/runs/RUN/journal/"),
    Format("flare.kept_view.KeptView", "state/runs/RUN/view.json"),
    Format("flare.kept_answer.KeptHead", "a site's state/runs/RUN/answer.COHORT.bin"),
    Format("flare.taken_job.TakenJob", "a job's folder at a site"),
    Format("updates.secure.attempts.SummedRound", "a site's state/runs/RUN/summed_rounds.json"),
    Format("flare.retraining.RetrainingPlan", "a retraining plan's folder"),
    Format("federation.cross_site.CrossSiteTable", _RUN),
    Format("federation.cohort_statistics.SiteStatistics", _RUN),
    Format("federation.cohort_statistics.BelowMinimum", _RUN),
    Format("federation.cohort_statistics.CohortSummary", _RUN),
    Format("federation.calibration.answers.CalibrationPatients", _RUN),
    Format("federation.calibration.calibration.Calibration", _PACKAGE),
    Format("federation.drift.answers._About", _RUN),
    Format("federation.drift.result.DriftWatchResult", "the job's result, and the server's state/drift_watches/"),
    Format("federation.reader_study.answers._About", _RUN),
    Format("federation.reader_study.requirement.ReaderStudyRequirement", "the index of releases"),
    Format("federation.reader_study.result.ReaderStudyResult", _RUN),
    Format("export.release.Statement", "the index of releases", writes=3, reads=(1, 2, 3)),
    Format("export.seen.SeenIndexes", "the reader's own state folder"),
    Format("export.description.ModelDescription", _PACKAGE),
    Format("export.manifest.Manifest", _PACKAGE),
    Format("export.provenance.Provenance", _PACKAGE),
    Format("export.signature.Signature", _PACKAGE),
    Format("ops.status.agreement.Agreement", "local/fedvoxel_status.json"),
    Format("ops.pipelines.settings.PipelineSettings", "a pipeline's settings"),
    Format("ops.pipelines.search.SearchSettings", "the settings of a search"),
    Format("ops.pipelines.record.Submission", "a pipeline's folder"),
    Format("ops.pipelines.record.Failure", "a pipeline's folder"),
    Format("ops.trackers.sent.Sent", "the user's own state folder"),
    Format("volumes.cohort.journal.JournalCase", _COHORT),
    Format("volumes.cohort.journal.JournalStudy", _COHORT),
    Format("volumes.cohort.manifest.Manifest", _COHORT),
    Format("evaluation.cohorts.datasheet.Datasheet", _COHORT),
    Format("evaluation.attacks.findings.PrivacyAudit", "a privacy audit's folder"),
    Format("evaluation.baseline.Baseline", "a baseline's file"),
    Format("evaluation.comparison.result.Comparison", "an experiment's folder"),
    Format("evaluation.credit.account.Account", "a contribution report"),
    Format("evaluation.judgement.judgement.Judgement", "an evaluation's folder", writes=2, reads=(1, 2)),
    Format("evaluation.own_score.OwnScore", "a hospital's score"),
    Format("evaluation.report.Report", "a report's folder"),
    Format("evaluation.uncertainty.own_calibration.OwnCalibration", "a hospital's own calibration"),
    Format("governance.evidence.artefact.Inventory", _EVIDENCE),
    Format("governance.evidence.manifest.PackManifest", _EVIDENCE),
    Format("governance.evidence.risk_map.RiskMap", _EVIDENCE),
    Format("governance.promotion.policy.PromotionPolicy", "the consortium's own file"),
    Format("evaluation.reading.finished.FinishedReading", _REVIEW),
    Format("review.export_folder.ExportedFiles", _REVIEW),
    Format("review.model_case._Done", _REVIEW),
    Format("review.reading_folder.ReadingList", _REVIEW),
    Format("review.study.StudySettings", _REVIEW),
    Format("review.oidc_settings.OidcSettings", "the sign-in's settings"),
)

BY_NAME = {one.name: one for one in FORMATS}


def name_of(model: type[Any]) -> str:
    """Returns what the table calls a class."""
    return f"{model.__module__}.{model.__qualname__}".removeprefix("fedvoxel.")


def current(name: str, content: Any, what: str) -> Any:
    """Returns content of any version that is read as content of the newest version.

    Args:
        name: What the table calls the format; one that it does not hold has no versions.
        content: What was read; anything but an object with a whole number as its version is left as it is.
        what: What it is, for the error.

    Raises:
        VersionError: It is of a version that this release does not read.
    """
    one = BY_NAME.get(name)
    version = content.get("schema_version", 1) if isinstance(content, dict) else None
    if one is None or isinstance(version, bool) or not isinstance(version, int):
        return content
    if version not in one.reads:
        kept = ", ".join(map(str, one.reads))
        cure = "by a newer release; update fedvoxel here" if version > one.writes else "by none that is read any more"
        raise VersionError(
            f"{what} is of schema_version {version}, and FedVoxel {__version__} reads {kept}: it was written {cure}"
        )
    return _stepped(one, version, content)


def _stepped(one: Format, version: int, content: Content) -> Content:
    for number in range(version, one.writes):
        if number in one.steps:
            content = {**one.steps[number](content), "schema_version": number + 1}
    return content
