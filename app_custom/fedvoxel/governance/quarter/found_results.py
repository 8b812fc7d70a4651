"""What downloaded jobs and reports tell a quarter's report: what hospitals gained, and what clinicians have read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from fedvoxel.config import FrozenModel, load_json_config, parse_config, read_json
from fedvoxel.errors import ConfigError
from fedvoxel.federation.reader_study.result import RESULT_FILE, ReaderStudyResult
from fedvoxel.governance.audit_check import Line
from fedvoxel.governance.quarter.period import Quarter
from fedvoxel.records.canonical import sha256_of_file

_REPORT = "report.json"
_PLACES = (".", "workspace", "report")


class FoundGain(FrozenModel):
    """Is what a report says that a hospital gained over training alone, over all classes.

    Attributes:
        job_id: FLARE's id of the job.
        verdict: In a few words; `sentence` says the same with its numbers.
    """

    job_id: str
    site: str
    verdict: str
    sentence: str


class Reading(FrozenModel):
    """Is a reader study: how many cases clinicians of how many hospitals have read, and took as they were.

    Attributes:
        accepted_at_least: Where hospitals hide small counts, the least that it may be; `accepted_at_most` the most.
    """

    study: str
    hospitals: NonNegativeInt
    cases: NonNegativeInt
    accepted_at_least: NonNegativeInt
    accepted_at_most: NonNegativeInt


@dataclass(frozen=True)
class FoundResults:
    """Is what was found in some folders.

    Attributes:
        gains: What reports say.
        studies: Reader studies, by the hash of their files.
        objections: Of files that cannot be used, why.
    """

    gains: tuple[FoundGain, ...]
    studies: dict[str, ReaderStudyResult]
    objections: tuple[str, ...]

    def readings_in(self, lines: Sequence[Line], quarter: Quarter) -> Iterator[Reading]:
        """Yields the studies that the server's log names as results of jobs that ended in a quarter."""
        for entry, event in lines:
            study = self.studies.get(event.hashes.get("outcome", "")) if quarter.has_text(entry.at) else None
            if study is not None and study.pooled is not None:
                accepted = study.pooled.accepted
                yield Reading(
                    study=study.study,
                    hospitals=study.pooled.hospitals,
                    cases=study.pooled.cases,
                    accepted_at_least=accepted.at_least,
                    accepted_at_most=accepted.at_most,
                )


def find_results(folders: Sequence[Path]) -> FoundResults:
    """Returns what some folders hold: downloaded jobs, or the folders of their reports.

    A file that is none of ours is not used, and said.
    """
    gains: dict[FoundGain, None] = {}
    studies: dict[str, ReaderStudyResult] = {}
    objections: list[str] = []
    for folder in folders:
        found = [path for place in _PLACES for path in (folder / place / _REPORT, folder / place / RESULT_FILE)]
        there = [path for path in found if path.is_file()]
        if not there:
            objections.append(f"what {folder.name} holds: neither {_REPORT} nor {RESULT_FILE} lies there")
        for path in there:
            try:
                if path.name == _REPORT:
                    gains |= dict.fromkeys(_gains(path))
                else:
                    studies[sha256_of_file(path)] = load_json_config(ReaderStudyResult, path, "the reader study")
            except ConfigError as error:
                objections.append(f"what {path.name} of {folder.name} holds: {error}")
    return FoundResults(tuple(gains), studies, tuple(objections))


def _gains(path: Path) -> list[FoundGain]:
    values = read_json(path, "the report")
    try:
        told: list[dict[str, Any]] = [
            gain for gain in values["gains"] if gain["against"] == "local" and gain["class_name"] is None
        ]
        return [_gain(str(values["run"]["job_id"]), gain) for gain in told]
    except (KeyError, TypeError):
        raise ConfigError("expected a report of `fedvoxel results`; make it again with this release") from None


def _gain(job_id: str, told: dict[str, Any]) -> FoundGain:
    said = {name: told[name] for name in ("site", "verdict", "sentence")}
    return parse_config(FoundGain, {"job_id": job_id, **said}, "a gain of the report")
