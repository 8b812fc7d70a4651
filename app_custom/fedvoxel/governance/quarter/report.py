"""The report of a quarter: what was done, by whom, what came of it and what it cost; and what is not known.

Every number comes from the server's log, as far as hospitals have signed for it, from a file whose hash that log names,
or from the index of releases, where people sign. What a hospital gained comes from a report of `fedvoxel results`,
which nobody signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, NonNegativeFloat, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.export.trust import Trust
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.sent_bytes import all_bytes_down, all_bytes_up
from fedvoxel.governance.audit_report import LogReport, log_file, verify_log
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.quarter.activity import HospitalActivity, RunActivity, hospitals_in, runs_in, submitters
from fedvoxel.governance.quarter.found_results import FoundGain, FoundResults, Reading
from fedvoxel.governance.quarter.period import Quarter
from fedvoxel.records.canonical import sha256_of_file

_SECONDS_PER_HOUR = 3600.0


class RunCost(FrozenModel):
    """Is what a run took, all of it, also what lies before the quarter in which it ended.

    Attributes:
        hours: Wall time of its rounds.
        bytes_up: All that its hospitals sent.
        bytes_down: All that they were sent.
        privacy: The guarantee in words, or that there is none.
    """

    hours: NonNegativeFloat
    bytes_up: NonNegativeInt
    bytes_down: NonNegativeInt
    privacy: str


class RunLine(FrozenModel):
    """Is one run; `cost` is None where it did not end in the quarter, or its outcome is not there any more."""

    run_key: str
    submitted_by: tuple[str, ...]
    began: AwareDatetime
    status: RunStatus
    attempts: NonNegativeInt
    rounds: NonNegativeInt
    cost: RunCost | None


class HospitalLine(FrozenModel):
    """Is one hospital; see `activity.HospitalActivity`."""

    name: str
    runs: NonNegativeInt
    updates: NonNegativeInt
    missing: NonNegativeInt
    refused: NonNegativeInt
    gains: tuple[FoundGain, ...]


class ModelLine(FrozenModel):
    """Is one statement about a package in the index of releases."""

    name: str
    version: str
    state: str
    at: AwareDatetime
    by: str


class QuarterReport(FrozenModel):
    """Is the whole report.

    Attributes:
        quarter: Its name, such as 2026-Q4.
        made: When the report was made; a quarter that was not over then is reported until then.
        over: Whether it was.
        log_entries: How many entries the server's log has.
        log_signed_for: As many of them hospitals have signed for; later ones do not count here.
        log_head: Hash of its last entry.
        runs: Every run of which anything happened in the quarter.
        hospitals: Every hospital that was asked to train in it.
        models: What people said of packages in it; None where no index was named.
        readings: Reader studies that ended in it.
        not_known: What could not be said, and what to do.
    """

    quarter: str
    made: AwareDatetime
    over: bool
    log_entries: NonNegativeInt
    log_signed_for: NonNegativeInt
    log_head: str | None
    runs: tuple[RunLine, ...]
    hospitals: tuple[HospitalLine, ...]
    models: tuple[ModelLine, ...] | None
    readings: tuple[Reading, ...]
    not_known: tuple[str, ...]


@dataclass(frozen=True)
class Sources:
    """Is what a report is made from.

    Attributes:
        server: The server's kit.
        trust: Whose signatures count.
        statements: All that the index of releases says, in order; None where none was named.
        results: What was found in downloaded jobs and reports.
        now: The present (aware).
    """

    server: Kit
    trust: Trust
    statements: Sequence[ModelLine] | None
    results: FoundResults
    now: datetime


def report_of(sources: Sources, quarter: Quarter) -> QuarterReport:
    """Returns the report of a quarter.

    Raises:
        ConfigError: The kit is not the server's, or has no audit log.
        LedgerError: The log cannot be trusted.
    """
    log = _log(sources)
    lines = [line for line in log.checked.lines if line[0].index < log.checked.covered]
    runs, hospitals = runs_in(lines, quarter), hospitals_in(lines, quarter)
    costs = [_cost(sources.server, run) for run in runs]
    jobs, said = {job for run in runs for job in run.jobs}, sources.statements
    gains = [gain for gain in sources.results.gains if gain.job_id in jobs]
    return QuarterReport(
        quarter=str(quarter),
        made=sources.now,
        over=sources.now >= quarter.until,
        log_entries=len(log.entries),
        log_signed_for=log.checked.covered,
        log_head=log.head,
        runs=tuple(_run_line(run, cost, submitters(lines)) for run, cost in zip(runs, costs, strict=True)),
        hospitals=tuple(_hospital_line(name, done, gains) for name, done in hospitals.items()),
        models=None if said is None else tuple(one for one in said if quarter.has(one.at)),
        readings=tuple(sources.results.readings_in(lines, quarter)),
        not_known=tuple(_not_known(sources, runs, costs, gains, log)),
    )


def _log(sources: Sources) -> LogReport:
    if sources.server.kind != "server":
        raise ConfigError(f"expected the server's kit, whose log has all runs; got that of a {sources.server.kind}")
    log = verify_log(log_file(sources.server.folder), sources.trust, None, sources.now)
    if log.flaws:
        raise LedgerError(
            f"the server's audit log cannot be trusted ({log.flaws[0].text}), and nothing is reported from it; see: "
            "fedvoxel audit verify"
        )
    return log


def _cost(server: Kit, run: RunActivity) -> RunCost | None:
    outcome = _outcome(server, run) if run.outcome else None
    if outcome is None:
        return None
    hours = sum(record.seconds for record in outcome.rounds) / _SECONDS_PER_HOUR
    return RunCost(
        hours=hours, bytes_up=all_bytes_up(outcome), bytes_down=all_bytes_down(outcome), privacy=outcome.privacy
    )


def _outcome(server: Kit, run: RunActivity) -> RunOutcome | None:
    """Returns the outcome that the log names, from the server's state; None where it is not there any more."""
    path = server.state / "runs" / run.run_key / OUTCOME_FILE
    try:
        return load_outcome(path) if sha256_of_file(path) == run.outcome else None
    except (ConfigError, OSError):
        return None


def _run_line(run: RunActivity, cost: RunCost | None, submitted: dict[str, str]) -> RunLine:
    by = tuple(dict.fromkeys(submitted[job] for job in run.jobs if job in submitted))
    return RunLine(
        run_key=run.run_key,
        submitted_by=by,
        began=run.began,
        status=run.status,
        attempts=len(run.jobs),
        rounds=run.rounds,
        cost=cost,
    )


def _hospital_line(name: str, done: HospitalActivity, gains: Sequence[FoundGain]) -> HospitalLine:
    own = tuple(gain for gain in gains if gain.site == name)
    return HospitalLine(
        name=name, runs=len(done.runs), updates=done.updates, missing=done.missing, refused=done.refused, gains=own
    )


def _not_known(
    sources: Sources,
    runs: Sequence[RunActivity],
    costs: Sequence[RunCost | None],
    gains: Sequence[FoundGain],
    log: LogReport,
) -> list[str]:
    """Returns what the report cannot say, each with what would help."""
    unsigned = len(log.entries) - log.checked.covered
    lost = [run.run_key for run, cost in zip(runs, costs, strict=True) if run.ended and cost is None]
    said = {
        f"what the {unsigned} newest entries of the server's log say: no hospital has signed for them yet": unsigned,
        f"what {', '.join(lost)} cost: the outcome that the log names is not in the server's state any more": lost,
        "which models were promoted: name the index with --releases": sources.statements is None,
        "what hospitals gained over training alone: give the reports of `fedvoxel results --baseline` of runs of this "
        "quarter with --result": not gains,
    }
    return [text for text, holds in said.items() if holds] + list(sources.results.objections)
