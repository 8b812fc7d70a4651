"""What a ledger's entries add up to: runs, releases, and the epsilon and delta that are spent.

The rule, and why it holds. A run declares its noise, its steps per release, the number of its releases and its delta
before the first one, and never changes them. Within a run everything is then fixed in advance, so that the accountant's
tight composition applies: the run is one (epsilon_run, delta_run)-private interactive mechanism, charged whole at its
first release. Where the budget does not cover the whole plan, as many of its releases as it covers are granted then, a
number that follows from the ledger alone, and the run ends at this site when they are used. Across runs, whose
parameters may depend on what earlier runs released, epsilons and deltas are added (basic composition, which holds for
parameters chosen on the way and for runs side by side).

A draw that a crash has cost counts as one of the planned ones. A run that ends early gets nothing back. Were only the
rounds so far charged, whoever sees the releases could end a run when its loss happened to be high and spend the rest
elsewhere; the tight bound does not cover such a choice. Where entries were lost (`Gap`), runs from before take no more
draws: their planned draws are charged, and how many of them are used is not known any more.

Source: Rogers, Roth, Ullman, Vadhan, "Privacy odometers and filters", NeurIPS 2016 (adding up with parameters chosen on
the way; what fails otherwise); Vadhan, Zhang, "Concurrent composition theorems for differential privacy", STOC 2023.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TypedDict

from fedvoxel.errors import FedVoxelError, LedgerError
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.ledger_entries import (
    Gap,
    Kept,
    LedgerEntry,
    Opened,
    Reserved,
    RunPlan,
    Sent,
    ledger_entry,
)
from fedvoxel.privacy.ledger_run import Release, Run, check_plan
from fedvoxel.records.chain_entry import Entry


@lru_cache(maxsize=1024)
def planned_epsilon(plan: RunPlan) -> float:
    """Returns the epsilon, at the plan's delta, of all draws that a run plans; computed once for each plan."""
    return epsilon([plan.event] * plan.draws, plan.delta)


class Spent(TypedDict):
    """Is what an entry says was spent after it."""

    spent_epsilon: float
    spent_delta: float


@dataclass
class Spending:
    """Is the sum of a ledger's entries.

    Attributes:
        opened: The last entry that says whose ledger it is; None for an empty ledger.
        runs: By run key, in the order of their first release.
        releases: By release id.
        gaps: What persons answer for.
        recorded: What the last entry says was spent, epsilon and delta.
    """

    opened: Opened | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    recorded: tuple[float, float] = (0.0, 0.0)

    @property
    def epsilon(self) -> float:
        """Is the sum over runs, as planned, and gaps."""
        runs = [planned_epsilon(run.plan) for run in self.runs.values()]
        return math.fsum(runs + [gap.epsilon for gap in self.gaps])

    @property
    def delta(self) -> float:
        """Is the sum over runs and gaps, exact in decimals: ten times 1e-4 is 1e-3."""
        deltas = [run.plan.delta for run in self.runs.values()] + [gap.delta for gap in self.gaps]
        return float(sum(Decimal(repr(delta)) for delta in deltas))

    def unchanged(self) -> Spent:
        """Returns what an entry that costs nothing says was spent: what the last one said."""
        return {"spent_epsilon": self.recorded[0], "spent_delta": self.recorded[1]}

    def drawn_in(self, run_key: str, round_index: int) -> list[Release]:
        """Returns the draws of a round, oldest first."""
        run = self.runs.get(run_key)
        return [release for release in run.releases if release.reserved.round == round_index] if run else []

    def kept_in(self, run_key: str, round_index: int) -> list[Kept]:
        """Returns the kept releases of a round, oldest first; there is more than one where a file was damaged."""
        return [release.kept for release in self.drawn_in(run_key, round_index) if release.kept]

    def add(self, entry: LedgerEntry) -> None:
        """Adds one entry.

        Raises:
            LedgerError: It contradicts those before it.
            BudgetExceededError: It is one draw more than its run planned.
        """
        if isinstance(entry, Opened):
            self._open(entry)
        elif self.opened is None:
            raise LedgerError("the ledger's first entry does not say which cohort it is about")
        elif isinstance(entry, Reserved):
            self._reserve(entry)
        elif isinstance(entry, Kept):
            self.check_open(entry.release_id).kept = entry
        elif isinstance(entry, Sent):
            self._send(entry)
        else:
            self._note_gap(entry)
        self.recorded = (entry.spent_epsilon, entry.spent_delta)

    def _open(self, entry: Opened) -> None:
        if self.opened and (self.opened.cohort, self.opened.unit) != (entry.cohort, entry.unit):
            raise LedgerError(
                f"the ledger is about each {self.opened.unit} of cohort {self.opened.cohort}, not about each "
                f"{entry.unit} of cohort {entry.cohort}; a ledger never changes what it is about"
            )
        self.opened = entry

    def _reserve(self, entry: Reserved) -> None:
        if entry.release_id in self.releases:
            raise LedgerError(f"release {entry.release_id} is reserved twice")
        run = self.runs.get(entry.run_key) or Run(self.plan_of(entry), entry.planned)
        if entry.draws != run.plan.draws:
            raise LedgerError(f"run {entry.run_key} was granted {run.plan.draws} releases, not {entry.draws}")
        check_plan(entry.run_key, run, self.plan_of(entry).model_copy(update={"draws": entry.planned}))
        release = Release(entry)
        run.releases.append(release)
        self.runs[entry.run_key] = run
        self.releases[entry.release_id] = release

    def plan_of(self, entry: Reserved) -> RunPlan:
        """Returns the plan of the run that an entry belongs to, as the entry states it."""
        if self.opened is None:
            raise LedgerError("the ledger's first entry does not say which cohort it is about")
        return RunPlan(unit=self.opened.unit, event=entry.event, draws=entry.draws, delta=entry.job_delta)

    def check_open(self, release_id: str) -> Release:
        """Returns a release that is reserved and not kept.

        Raises:
            LedgerError: It is not.
        """
        release = self.releases.get(release_id)
        if release is None or release.kept:
            raise LedgerError(f"release {release_id} is kept {'twice' if release else 'but was never reserved'}")
        return release

    def _send(self, entry: Sent) -> None:
        release = self.releases.get(entry.release_id)
        if release is None or release.kept is None:
            raise LedgerError(f"release {entry.release_id} is sent but was never kept")
        release.times_sent += 1

    def _note_gap(self, entry: Gap) -> None:
        self.gaps.append(entry)
        for run in self.runs.values():
            run.closed = True


def spending_of(entries: Sequence[Entry]) -> Spending:
    """Adds up a chain's entries.

    Raises:
        LedgerError: An entry is not one of a privacy ledger, or contradicts those before it.
    """
    spending = Spending()
    for entry in entries:
        parsed = ledger_entry(entry.body, entry.index + 1)
        try:
            spending.add(parsed)
        except FedVoxelError as error:
            raise LedgerError(f"line {entry.index + 1} of the ledger should not be there: {error}") from None
    return spending
