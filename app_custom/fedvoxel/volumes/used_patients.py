"""Which patients a run has used at this site, so that the models that learnt from one who objects can be named.

A site trains before it knows what becomes of it, so the patients are on record before the first step. The record lies
in the run's folder of the site's state, holds pseudonyms only, and never leaves.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.records.chain import Chain

Use = Literal["trained", "scored"]
_PLACE = Path("patients") / "used.jsonl"
_logger = logging.getLogger(__name__)


class _Line(FrozenModel):
    use: Use
    cohort: str
    patients: tuple[str, ...]


@dataclass(frozen=True)
class RunUse:
    """Says that a run used somebody: trained on, or only scored the model on the scans; when it began to."""

    run_key: str
    cohort: str
    use: Use
    since: str


@dataclass(frozen=True)
class Uses:
    """Is what is known of some patients.

    Attributes:
        runs: The runs that used one of them.
        unknown: Runs of which nothing is recorded, being of an earlier version or ended before their first task, or
            whose record is damaged.
    """

    runs: tuple[RunUse, ...]
    unknown: tuple[str, ...]


class UsedPatients:
    """Is the record of one run."""

    def __init__(self, run_folder: Path) -> None:
        """Touches no file; `run_folder` is the run's in the site's state."""
        self._chain = Chain(run_folder / _PLACE)

    def note(self, use: Use, cohort: str, patients: Iterable[str]) -> None:
        """Writes whom a run is about to use, once; it is on disk when this returns.

        Raises:
            LedgerError: The record cannot be trusted or written.
        """
        body = _Line(use=use, cohort=cohort, patients=tuple(sorted(set(patients)))).model_dump(mode="json")
        with self._chain.writing() as chain:
            if body["patients"] and all(entry.body != body for entry in chain.entries):
                chain.append(body)


def uses_of(patients: Iterable[str], base: Path) -> Uses:
    """Returns which runs at this site used one of these patients.

    A damaged record makes its own run unknown, and hides no other.

    Args:
        patients: Pseudonyms.
        base: The kit's `local/` folder.
    """
    asked, runs, unknown = set(patients), [], []
    for folder in sorted((base.resolve().parent / "state" / "runs").glob("*/")):
        lines = _lines(folder)
        if not lines:
            unknown.append(folder.name)
        first: dict[tuple[str, Use], str] = {}
        for at, line in lines:
            if asked & set(line.patients):
                first.setdefault((line.cohort, line.use), at)
        runs += [RunUse(folder.name, cohort, use, at) for (cohort, use), at in first.items()]
    return Uses(tuple(runs), tuple(unknown))


def _lines(folder: Path) -> list[tuple[str, _Line]]:
    """Returns what is on record of a run; nothing where there is no record, or a damaged one."""
    try:
        entries = Chain(folder / _PLACE).read()
        return [(entry.at, parse_config(_Line, entry.body, "a line")) for entry in entries]
    except (LedgerError, ConfigError) as problem:
        _logger.warning("event=used_patients_damaged run=%s reason=%s", folder.name, problem)
        return []
