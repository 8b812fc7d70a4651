"""Results of other jobs and commands about the same model: statistics, cross-site scores, reader study, reports.

What a job of this server made is verified by the hash in its audit log; a report that somebody made with a command, by
that person's signature beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.cohort_statistics import CohortSummary, SiteStatistics
from fedvoxel.federation.cross_site import CROSS_SITE_FILE, CrossSiteTable
from fedvoxel.federation.reader_study.result import RESULT_FILE, ReaderStudyResult
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.logs import Logs
from fedvoxel.governance.evidence.outcome_facts import MINIMUM_CASES, score_facts
from fedvoxel.governance.evidence.report_artefacts import report_artefact
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.evidence.vouching import REPORTS
from fedvoxel.records.canonical import sha256_of_file

_STATISTICS_FILE = "cohort_statistics.json"
_PLACES = (".", "workspace", "report", "*/workspace")


@dataclass(frozen=True)
class Results:
    """Is where to look, and by what to judge what is found.

    Attributes:
        folders: The run's own folder first, then those that were named.
        package: Identity of this run's package; None where it is not known.
    """

    subject: Subject
    logs: Logs
    folders: Sequence[Path]
    package: str | None

    def artefacts(self) -> list[Artefact]:
        """Returns each result of a job, and each report; those that are not there as missing."""
        read: dict[str, tuple[str, Callable[[Path], tuple[dict[str, Any], Verdict | None]]]] = {
            "cohort_statistics": (_STATISTICS_FILE, self._statistics),
            "cross_site": (CROSS_SITE_FILE, self._cross_site),
            "reader_study": (RESULT_FILE, self._reader_study),
        }
        made = [self._of_job(kind, name, reader) for kind, (name, reader) in read.items()]
        return made + [report for name in REPORTS for report in self._reports(name)]

    def _reports(self, name: str) -> Iterator[Artefact]:
        """Yields each report of a name: of several, their order does not say which is about this run."""
        paths = [*self._places(name)]
        for path in paths:
            yield report_artefact(path, name, self.subject, self.package)
        if not paths:
            yield report_artefact(None, name, self.subject, self.package)

    def _places(self, name: str) -> Iterator[Path]:
        for folder in self.folders:
            for place in _PLACES:
                yield from sorted(path for path in folder.glob(f"{place}/{name}") if path.is_file())

    def _of_job(
        self, kind: str, name: str, reader: Callable[[Path], tuple[dict[str, Any], Verdict | None]]
    ) -> Artefact:
        source, path = Source(kind, f"result of a job: {name}"), next(self._places(name), None)
        if path is None:
            return missing(source, "no such result was found; give the downloaded job with --result")
        sha256 = sha256_of_file(path)
        try:
            facts, objection = reader(path)
        except ConfigError:
            return found(source, sha256, unverified("it is not what such a job writes"))
        if objection is None and not self.logs.names("outcome", sha256):
            objection = unverified("no server's audit log that can be trusted names this hash as a job's result")
        return found(source, sha256, objection or verified("the server's audit log names this hash"), facts)

    def _statistics(self, path: Path) -> tuple[dict[str, Any], Verdict | None]:
        summary, names = load_json_config(CohortSummary, path, "the cohort statistics"), self.subject.pseudonyms
        ours = {names[site]: one for site, one in summary.sites.items() if site in names}
        told = {site: _site_facts(one) for site, one in sorted(ours.items()) if one.minimum_cases >= MINIMUM_CASES}
        below = sorted(names[site] for site in summary.below_minimum if site in names)
        facts = {"sites": told, "below_minimum": below, "not_repeated": sorted(set(ours) - set(told))}
        return facts, self._of_cohort(sha256_of_file(path))

    def _of_cohort(self, sha256: str) -> Verdict | None:
        """Returns why a result may be about other data than the run, or None."""
        job_id, ours = self.logs.job_of(sha256), self.logs.cohorts(self.subject.outcome.job_id)
        theirs = self.logs.cohorts(job_id) if job_id else set()
        if job_id is None or (ours and ours == theirs):
            return None
        if ours and theirs:
            return unverified("the hospitals' logs say that it is about another cohort")
        return unverified("no hospital's log at hand says about which cohort it is")

    def _cross_site(self, path: Path) -> tuple[dict[str, Any], Verdict | None]:
        table, names = load_json_config(CrossSiteTable, path, "the cross-site table"), self.subject.pseudonyms
        scores = {
            names.get(model, "common model"): {
                pseudonym: score_facts(table.scores[model][site])
                for site, pseudonym in names.items()
                if site in table.scores[model]
            }
            # In the order of pseudonyms: that of the names would tell whose they are.
            for model in sorted(table.scores, key=lambda model: names.get(model, ""))
        }
        strange = table.run_key != self.subject.outcome.run_key
        return {"scores": scores}, unverified("it is about another run") if strange else None

    def _reader_study(self, path: Path) -> tuple[dict[str, Any], Verdict | None]:
        study = load_json_config(ReaderStudyResult, path, "the reader study")
        facts = {"study": study.study, "package": study.package, "absent": len(study.absent)}
        pooled = study.pooled.model_dump(mode="json") if study.pooled else None
        strange = study.package != self.package
        return {**facts, "pooled": pooled}, unverified("its readers read another package") if strange else None


def _site_facts(site: SiteStatistics) -> dict[str, Any]:
    """Returns what a hospital told that has hidden what is about too few cases itself."""
    return {
        "minimum_cases": site.minimum_cases,
        "cases": site.cases,
        "cases_per_split": site.cases_per_split,
        "refused_per_reason": site.refused_per_reason,
        "median_spacing_mm": list(site.spacing_mm.along("q50")),
        "median_shape": list(site.shape.along("q50")),
        "cases_with_class": {name: one.cases for name, one in site.classes.items()},
        "suppressed_cells": site.suppressed_cells,
    }
