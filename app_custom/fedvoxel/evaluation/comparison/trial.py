"""One run of one job with one seed, as a comparison sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvoxel.errors import JobError
from fedvoxel.evaluation.baseline import CaseRecord
from fedvoxel.evaluation.case_table import PERSONAL_MODEL, case_table_name, read_case_table
from fedvoxel.federation.cross_site import GLOBAL_MODEL
from fedvoxel.federation.outcome import RunOutcome, SiteScore
from fedvoxel.updates.scores import CaseScore

SiteCaseScores = Mapping[str, tuple[CaseScore, ...]]
"""Scores of single unseen cases by hospital."""


@dataclass(frozen=True)
class Trial:
    """Is one finished run.

    Attributes:
        job: The job's name.
        outcome: What the run says of itself.
        cases: Scores of single cases, of those hospitals alone whose kits are at hand.
    """

    job: str
    seed: int
    outcome: RunOutcome
    cases: SiteCaseScores = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Names the run for people."""
        return f"{self.job} (seed {self.seed})"

    @property
    def personal(self) -> bool:
        """Says whether each hospital uses a model of its own, which is then what is compared."""
        return bool(self.outcome.personal)

    @property
    def scores(self) -> Mapping[str, SiteScore]:
        """Are the hospitals' scores: of their personal models where the job has them."""
        return self.outcome.test | self.outcome.personal

    @property
    def counts(self) -> dict[str, int]:
        """Is the number of unseen cases by hospital."""
        return {site: score.cases for site, score in self.outcome.test.items()}


def check_finished(job: str, seed: int, outcome: RunOutcome) -> None:
    """Checks that a run ended well and was tested: half a run compares with nothing.

    Raises:
        JobError: It did not.
    """
    if outcome.status not in ("finished", "stopped_early"):
        raise JobError(f"{job} (seed {seed}) {outcome.status}: {outcome.reason}; repeat the command to try it again")
    if not outcome.test:
        raise JobError(
            f"{job} (seed {seed}) was tested nowhere: expected rounds.evaluate, and hospitals with unseen cases"
        )


def read_cases(outcome: RunOutcome, kits: Mapping[str, Path]) -> dict[str, tuple[CaseScore, ...]]:
    """Reads the scores of single cases that the hospitals at hand kept of a run, personal ones where there are any.

    Raises:
        ConfigError: A hospital's table cannot be read.
    """
    found = {}
    for site in outcome.test.keys() & kits.keys():
        model = PERSONAL_MODEL if site in outcome.personal else GLOBAL_MODEL
        path = kits[site] / "state" / "runs" / outcome.run_key / case_table_name(model)
        found[site] = tuple(read_case_table(path))
    return dict(sorted(found.items()))


def cases_as_json(cases: SiteCaseScores) -> dict[str, list[dict[str, Any]]]:
    """Returns scores as JSON values; see `cases_from_json`."""
    return {
        site: [{"case": one.case, "dice": dict(one.dice), "hd95_mm": dict(one.hd95_mm)} for one in scores]
        for site, scores in cases.items()
    }


def cases_from_json(values: Mapping[str, Any]) -> dict[str, tuple[CaseScore, ...]]:
    """Returns what `cases_as_json` made JSON of."""
    return {site: tuple(CaseRecord(**row).score() for row in rows) for site, rows in values.items()}
