"""Runs jobs with their faults, one after another, and judges each; what is finished is not done again."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chaos import accounts, oracle
from benchmarks.chaos.faults import Aftermath, stopped_at, strike
from benchmarks.chaos.job import chaos_job
from benchmarks.chaos.machines import Machines
from benchmarks.chaos.oracle import Run
from benchmarks.chaos.plan import Fault, unit_of
from benchmarks.chaos.recovery import again_after, whole_round_after
from benchmarks.chaos.repair import off_and_on
from benchmarks.chaos.results import Result, append, not_reached, unfinished
from benchmarks.chaos.steps import ASKS
from benchmarks.chaos.trace import Trace, committed_rounds
from benchmarks.chaos.waiting import wait_until
from fedvoxel.privacy.guarantee import PrivacyUnit

RECOVERED_WITHIN_S = 150.0
ENDS_WITHIN_S = 240.0
BEGINS_WITHIN_S = 180.0
TRIED_IN = 2
"""Jobs in which a fault's step may fail to be passed."""

_SUBMITTED_AFTER = 2
"""How often machines that take no job are switched off and on, before the campaign ends with an error."""

GIVEN_UP_AFTER_S = 90.0
"""So long after FLARE has ended a run's last job, without an outcome and without another job that is to follow, nobody
is taken to go on with it: longer than a server takes to start."""

Say = Callable[[str], None]


@dataclass
class Campaign:
    """Is the jobs of a plan on one consortium.

    Attributes:
        results: The file with one line for each finished fault and job.
        rounds: Of each job: all have as many, since the learning rate goes by them, and models are compared.
        epochs: Of each round.
        patience: How much slower than usual the machine is: all limits are multiplied with it.
        reference: The models of a run without faults, by round; filled by `first`.
    """

    machines: Machines
    results: Path
    say: Say
    rounds: int = 110
    epochs: int = 2
    patience: float = 1.0
    reference: dict[int, str] = field(default_factory=dict)
    _struck: int = 0
    _idle_since: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trace = Trace(self.machines.chaos / "trace.jsonl")

    def first(self) -> Result:
        """Runs a job without faults, whose models are what others are held against."""
        run = self._submit("reference")
        self._wait_for_end(run)
        committed = committed_rounds(self.trace, run.since)
        self.reference = {one.round: one.model for one in committed}
        ended = self._judge_job(run, -1)
        if ended["outcome"] != "finished":
            ended["violations"].insert(0, f"without any fault the run has {ended['outcome']}: {ended['reason']}")
        if any(len(one.sites) < len(self.machines.sites) for one in committed):
            ended["violations"].append("without any fault a site was missing in a round")
        return ended

    def job(self, faults: Sequence[Fault]) -> None:
        """Runs one job of the plan with those of its faults that are not finished."""
        left = unfinished(faults, self.results)
        stuck = 0
        while left:
            before = len(left)
            left = self._attempt(left)
            stuck = stuck + 1 if len(left) == before else 0
            if stuck == TRIED_IN:
                self.say(f"not reached: {left[0].name}")
                append(self.results, not_reached(left[0]))
                left, stuck = left[1:], 0

    def _attempt(self, faults: list[Fault]) -> list[Fault]:
        """Runs a job until its faults are over or it has ended, and returns the faults that are left."""
        number = faults[0].job
        unit = unit_of(number)
        run = self._submitted(f"chaos-{number:02d}", unit)
        if not self._has_begun(run):
            append(self.results, self._judge_job(run, number) | {"needed_person": "the job did not begin"})
            off_and_on(self.machines, self.say)
            return faults
        while faults and not self._is_over(run):
            result = self._strike(run, faults[0])
            if result is None:
                break
            append(self.results, result)
            faults = faults[1:]
            if result["needed_person"]:
                break
        self._wait_for_end(run)
        ended = self._judge_job(run, number)
        append(self.results, ended)
        if ended["needed_person"]:
            off_and_on(self.machines, self.say)
        return faults

    def _submitted(self, name: str, unit: PrivacyUnit | None) -> Run:
        """Submits a job; on machines that do not take it, again after they were switched off and on.

        Raises:
            RuntimeError: They never take it.
        """
        for _ in range(_SUBMITTED_AFTER):
            try:
                return self._submit(name, unit)
            except RuntimeError as error:
                self.say(str(error))
                off_and_on(self.machines, self.say)
        return self._submit(name, unit)

    def _strike(self, run: Run, fault: Fault) -> Result | None:
        """Lets one fault strike and judges what came of it.

        Returns:
            None where the run ended before the step was passed, or well and before it could be whole again.
        """
        self._struck += 1
        if fault.kind == "replay":  # which takes an answer of the round before
            wait_until(lambda: len(committed_rounds(self.trace, run.since)) > 1, BEGINS_WITHIN_S * self.patience)
        before = committed_rounds(self.trace, run.since)
        with stopped_at(self.machines, self._struck, fault, self.patience, lambda: self._is_over(run)) as reached:
            if not reached:
                return None if self._is_over(run) else not_reached(fault)
            struck_at = time.monotonic()
            aftermath = strike(self.machines, fault, run.key)
        aftermath.pass_by()
        healed_at = time.monotonic()
        recovered, whole = self._wait_until_whole(run, healed_at, len(self.machines.sites) - fault.leaves_out)
        violations = self._violations(run, fault, aftermath)
        aftermath.restore()
        if fault.leaves_out:
            violations += self._put_back(run, fault, healed_at)
        if whole is None and self._finished_well(run):
            self.say(f"too late: {fault.name}")
            return None
        self.say(f"{'LOST' if whole is None else 'survived'}: {fault.name} {violations or ''}")
        return fault.as_json() | {
            "run": run.key,
            "name": fault.name,
            "rounds_before": len(before),
            "survived": whole is not None,
            "over": self._is_over(run),
            "next_round_s": again_after(self.trace, fault, struck_at, healed_at),
            "whole_round_s": round(whole - healed_at, 1) if whole else None,
            "outage_s": round(healed_at - struck_at, 1),
            "violations": violations,
            "needed_person": "" if recovered else "neither went on nor ended",
        }

    def _put_back(self, run: Run, fault: Fault, healed_at: float) -> list[str]:
        """Returns what is wrong with a hospital that had to stay out until its file was put back, which it is now."""
        put_back = time.monotonic()
        since = [one for one in committed_rounds(self.trace, run.since) if healed_at < one.at < put_back]
        said = [f"round {one.round}: took part with a damaged file" for one in since if fault.machine in one.sites]
        if self._wait_until_whole(run, put_back, len(self.machines.sites))[1] is None:
            said.append("the file was put back, and the hospital took no part again")
        return said

    def _wait_until_whole(self, run: Run, healed_at: float, sites: int) -> tuple[bool, float | None]:
        """Waits until so many sites had part in a round, or the run is over; returns whether, and when the former."""

        def whole_again() -> float | None:
            return whole_round_after(self.trace, run, healed_at, sites)

        recovered = wait_until(lambda: whole_again() or self._is_over(run), RECOVERED_WITHIN_S * self.patience)
        return bool(recovered), whole_again()

    def _violations(self, run: Run, fault: Fault, aftermath: Aftermath) -> list[str]:
        changed = aftermath.saved[0] if aftermath.saved else None
        said = oracle.chain_troubles(self.machines, changed) + oracle.round_troubles(self.trace, run)
        if aftermath.saved:
            said += oracle.unseen_change(*aftermath.saved)
        elif fault.kind == "corrupt":
            said.append("nothing to corrupt: no such file")
        return said

    def _finished_well(self, run: Run) -> bool:
        outcome = oracle.outcome_of(self.machines, run)
        return outcome is not None and outcome.status == "finished"

    def _is_over(self, run: Run) -> bool:
        """Says whether the run has ended by its own account, or all its jobs have for so long that none will follow.

        Nobody aborts a job here but FLARE, when it cannot reach the sites: the server goes on with that.
        """
        outcome = oracle.outcome_of(self.machines, run)
        if outcome is not None and outcome.status not in ("unfinished", "aborted"):
            return True
        if oracle.open_jobs(self.machines, run):
            self._idle_since.pop(run.key, None)
            return False
        return (
            time.monotonic() - self._idle_since.setdefault(run.key, time.monotonic()) > GIVEN_UP_AFTER_S * self.patience
        )

    def _has_begun(self, run: Run) -> bool:
        return bool(
            wait_until(
                lambda: any(True for _ in self.trace.of(ASKS, run.since)) or self._is_over(run),
                BEGINS_WITHIN_S * self.patience,
            )
        )

    def _wait_for_end(self, run: Run) -> None:
        wait_until(lambda: self._is_over(run), ENDS_WITHIN_S * self.patience)
        wait_until(lambda: not self.machines.working(), 60)

    def _judge_job(self, run: Run, number: int) -> Result:
        status = oracle.job_status(self.machines, run.job_id)
        violations = accounts.job_troubles(self.machines, self.trace, run, self.reference)
        if left := self.machines.working():
            violations.append(f"{len(left)} processes of the job were left")
        outcome = oracle.outcome_of(self.machines, run)
        over = self._is_over(run)
        self.say(f"job {run.key}: {outcome.status if outcome else 'no outcome'} ({status}) {violations or ''}")
        return {
            "job": number,
            "run": run.key,
            "flare_status": status,
            "outcome": outcome.status if outcome else None,
            "reason": outcome.reason if outcome else None,
            "rounds": len(committed_rounds(self.trace, run.since)),
            "violations": violations,
            "needed_person": "" if over and not left else "the job did not end",
        }

    def _submit(self, name: str, unit: PrivacyUnit | None = None) -> Run:
        key = f"{name}-{os.getpid()}-{len(self.trace.look())}"
        since, sites = len(self.trace.lines), len(self.machines.sites)
        job = chaos_job(self.machines.folder / "jobs", key, self.rounds, sites, self.epochs, unit)
        return Run(key, self.machines.submit(job), since, self.rounds, unit)
