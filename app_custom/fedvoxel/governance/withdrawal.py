"""What a site that leaves has to do with each run on a server, and which kept models are from before it joined.

It reads the runs' outcomes, the kept models and the server's log, and decides by all three: a model that one of them
does not know as the one from before the site joined is not certified.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConfigError
from fedvoxel.federation.kept_models import KeptModel, KeptModels
from fedvoxel.federation.lineage import Runs, touched, trained
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.federation.taking_part import BEFORE_ALL, Part, joined_in, part_of
from fedvoxel.governance.withdrawal_certificate import (
    ExcludingModel,
    LogHead,
    LostRun,
    RunPart,
    WithdrawnRun,
)
from fedvoxel.governance.withdrawal_log import ServerLog, read_server_log


@dataclass(frozen=True)
class Findings:
    """Is what was found of a site on a server.

    Attributes:
        runs: Every run that has to do with it, by key.
        others: The jobs of all runs that have not.
        lost_runs: Runs with it of which only the log is left.
        log: The server's log; None where there is none.
    """

    site: str
    runs: tuple[WithdrawnRun, ...]
    others: tuple[str, ...]
    lost_runs: tuple[LostRun, ...]
    log: LogHead | None

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Are the runs that have to do with the site and have not ended."""
        return tuple(run.run_key for run in self.runs if run.status == "unfinished")


def find(site: str, state: Path, root: x509.Certificate, now: datetime) -> Findings:
    """Finds what a site has to do with each run in a server's state.

    Raises:
        ConfigError: An outcome or a record of a kept model is damaged.
        LedgerError: The log cannot be trusted.
    """
    runs, log = Runs(state / "runs"), read_server_log(state, root, now)
    outcomes = [runs.outcome(run_key) for run_key in runs.keys]
    found = [_Search(site, runs, log, outcome).run() for outcome in outcomes]
    known = {job for outcome in outcomes for job in jobs_of(outcome)}
    held = {sha256 for run in found if run for sha256 in run.contaminated}
    maybe = {sha256 for run in found if run for sha256 in run.may_hold}
    return Findings(
        site=site,
        runs=tuple(run for run in found if run),
        others=tuple(job for run, outcome in zip(found, outcomes, strict=True) if not run for job in jobs_of(outcome)),
        lost_runs=log.lost_runs(site, known, held, maybe),
        log=log.head,
    )


def jobs_of(outcome: RunOutcome) -> tuple[str, ...]:
    """Returns the ids of the jobs that were attempts at a run."""
    return tuple(dict.fromkeys([*(attempt.job_id for attempt in outcome.attempts), outcome.job_id]))


@dataclass(frozen=True)
class _Search:
    """Looks at one run."""

    site: str
    runs: Runs
    log: ServerLog
    outcome: RunOutcome

    def run(self) -> WithdrawnRun | None:
        """Returns what the site has to do with the run; None where it has nothing."""
        part, outcome = part_of(self.site, self.outcome), self.outcome
        began = self.runs.began_with(self.site, outcome, trained)
        began_beside = self.runs.began_with(self.site, outcome, touched)
        if part == Part(None, None) and began is False and began_beside is False:
            return None
        kind = _kind(part, began)
        excluding, why = self._excluding(part, began_beside)
        held = self._models(0 if kind == "inherited" else part.trained_from)
        excluded = {model.sha256 for model in excluding}
        return WithdrawnRun(
            run_key=outcome.run_key,
            jobs=jobs_of(outcome),
            status=outcome.status,
            part=kind,
            joined_round=None if part.touched_from == BEFORE_ALL else part.touched_from,
            trained_round=part.trained_from,
            contaminated=tuple(sorted(held - excluded)),
            may_hold=tuple(sorted(self._models(0) - held)) if kind == "unknown" else (),
            excluding=excluding,
            none_because=None if excluding else why,
        )

    def _models(self, first: int | None) -> set[str]:
        """Returns the hashes of the models that the run has made from a round on; none for None."""
        if first is None:
            return set()
        outcome, held = self.outcome, self.log.models(jobs_of(self.outcome), first)
        if outcome.model and outcome.rounds_committed > first:
            held.add(outcome.model.sha256)
        if outcome.best_model and (outcome.best_round or 0) >= first:
            held.add(outcome.best_model.sha256)
        return held

    def _excluding(self, part: Part, began: bool | None) -> tuple[tuple[ExcludingModel, ...], str]:
        """Returns the models that may be certified, and why there is none where that is so."""
        if began is not False:
            start = self.outcome.start_from
            return (
                (),
                f"the run began with {start.words if start else 'a model'}, which is not known to exclude the site",
            )
        if part.touched_from == BEFORE_ALL:
            return (), "the site gave the run's first model, or that is not known: begin anew from the job's seed"
        until, found, why = part.touched_from or 0, list[ExcludingModel](), ""
        for record in self.runs.kept(self.outcome):
            if record.round <= until:
                try:
                    found.append(self._certified(record))
                except ConfigError as error:
                    why = str(error)
        return tuple(found), why or f"no model is kept of the run from before round {until}"

    def _certified(self, record: KeptModel) -> ExcludingModel:
        """Returns a kept model as it may be certified.

        Raises:
            ConfigError: Its file, its record, the run's outcome and the log do not say the same, or no other hospital
                has countersigned that.
        """
        outcome, jobs = self.outcome, jobs_of(self.outcome)
        which = f"the model of run {outcome.run_key} from before round {record.round}"
        if joined_in(outcome.rounds, record.round) != (record.joined, record.before) or self.site in record.before:
            raise ConfigError(f"{which}: its record names other sites than the run's outcome")
        KeptModels(self.runs.folder / outcome.run_key).content(record)
        answered = self.log.answered_from(self.site, jobs)
        if answered is not None and answered < record.round:
            raise ConfigError(f"{which}: the server's log has an answer of {self.site} in round {answered}")
        try:
            place = self.log.place(jobs, record.round, record.sha256, self.site)
        except ConfigError as error:
            raise ConfigError(f"{which}: {error}") from None
        return ExcludingModel(round=record.round, sha256=record.sha256, sites=record.before, log=place)


def _kind(part: Part, began: bool | None) -> RunPart:
    if began is not False:
        return "inherited" if began else "unknown"
    return "trained" if part.trained_from is not None else "beside"


def restarts(findings: Findings) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields, by run, what to write as `start_from` to begin again without the site."""
    for run in findings.runs:
        if run.excluding and run.excluding[-1].round == run.joined_round:
            yield run.run_key, {"run_key": run.run_key, "before_site": findings.site}
