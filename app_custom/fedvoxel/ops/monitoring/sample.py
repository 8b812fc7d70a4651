"""What is measured, and in which words: the metrics, each with what it means."""

from dataclasses import dataclass, field

METRICS: dict[str, str] = {
    "certificate_ends_timestamp_seconds": "When the kit's own certificate, a root, or the revocation list ends.",
    "disk_free_bytes": "Free bytes where the kit's state lies.",
    "halted": "1 while all jobs are stopped here for an incident.",
    "quarantined_sites": "How many sites are in quarantine.",
    "incidents_open": "Incidents that are not closed, by severity.",
    "audit_last_timestamp_seconds": "When the last entry of the kit's audit log was written.",
    "run_status": "1 for a run's present status: unfinished, finished, stopped_early, failed or aborted.",
    "run_last_change_timestamp_seconds": "When a run's record was written last.",
    "run_rounds_planned": "Rounds that a run's job asks for.",
    "run_rounds_committed": "Rounds of a run that are committed.",
    "run_round_seconds": "Wall time of a run's last round.",
    "run_sites": "Sites in a run's last round, by what became of them: contributed, missing or refused.",
    "run_bytes": "Bytes that a run has sent, by direction: up or down.",
    "run_validation_dice": "Validation Dice of a run's newest model, mean over sites and classes.",
    "privacy_epsilon_spent": "Epsilon that a cohort's ledger has charged, by whom it protects.",
    "privacy_epsilon_budget": "Epsilon that the hospital grants for a cohort.",
    "privacy_delta_spent": "Delta that a cohort's ledger has charged, by whom it protects.",
    "privacy_delta_budget": "Delta that the hospital grants for a cohort.",
    "drift_alarm": "1 if the last drift watch of a model that hospitals told something for was an alarm.",
    "drift_last_timestamp_seconds": "When that was.",
    "problem": "1 for what could not be read, and is missing here.",
}
"""Every metric by its name, without `fedvoxel_` before it. All are gauges."""


@dataclass(frozen=True)
class Sample:
    """Is one value of one metric.

    Attributes:
        metric: Its name in `METRICS`.
        labels: What tells it from the metric's others.
    """

    metric: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
