"""Judges a package for a request, at the hospital: which gates are passed first, and what may be told in the end.

What is judged, and by what, comes from the hospital: its index of releases, its root, its own policy and cohorts. The
request names one of each; no byte that came with it is run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import CohortError, PackageError
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import open_model
from fedvoxel.evaluation.judgement.aggregating import aggregate_of, people_behind
from fedvoxel.evaluation.judgement.run import Task, evaluate
from fedvoxel.evaluation.judgement.subject import Asked as AskedCases
from fedvoxel.evaluation.judgement.subject import Subjects, cohort_subjects
from fedvoxel.evaluation.judgement.told import Judged
from fedvoxel.export.package import Package, open_package
from fedvoxel.export.releases import Releases
from fedvoxel.export.trust import read_trust
from fedvoxel.flare.patient_promises import check_promises
from fedvoxel.governance.evaluation_request import EvaluationRequest
from fedvoxel.governance.incidents.switches import check_not_halted
from fedvoxel.governance.kit import Kit
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.volumes.shared_patients import unnamed_problem
from fedvoxel.volumes.site import SITE_FILE, load_site_config

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Means:
    """Is what the evaluation may take: memory in MiB, and cores (all when None)."""

    memory_mb: int = 4096
    threads: int | None = None


@dataclass(frozen=True)
class Prepared:
    """Is what would be judged; for the hospital's own eyes.

    Attributes:
        package: The package, verified.
        remark: What the index of releases says against it; None for a released one.
        subjects: The cases.
        minimum_patients: Of the hospital's policy.
        named_under: Tells the site's pseudonym key from another.
    """

    package: Package
    remark: str | None
    subjects: Subjects
    minimum_patients: int
    named_under: str

    @property
    def patients(self) -> int:
        """Is how many patients are listed."""
        return len({one.patient for one in self.subjects.cases})


def prepare(kit: Kit, index: Path, asked: EvaluationRequest) -> Prepared:
    """Checks all that can be checked before an image is read, and returns what would be judged.

    Args:
        kit: The site's.
        index: The hospital's index of releases.
        asked: The request.

    Raises:
        JobError: All jobs are stopped for an incident.
        ConfigError: The hospital's policy lets nothing of it leave, or cannot be used.
        CohortError: The cohort is unknown, of too few patients, or nobody can tell how many patients it has.
        PackageError: The package is withdrawn, not in the index, or not to be trusted.
    """
    check_not_halted(kit.state)
    terms = load_privacy_policy(kit.local).evaluations(asked.cohort)
    check_promises(kit.local, asked.cohort)
    site_file = kit.local / SITE_FILE
    site = load_site_config(site_file)
    problem = unnamed_problem(site, site.cohort(asked.cohort), kit.local)
    if problem:
        raise CohortError(f"cohort {asked.cohort}: nobody can tell how many patients it has: {problem}")
    package, remark = _package(kit, index, asked)
    structures = tuple(one.name for one in package.description.structures)
    split = None if asked.split == "all" else asked.split
    subjects = cohort_subjects([site_file], AskedCases(asked.cohort, split, structures))
    prepared = Prepared(package, remark, subjects, terms.minimum_patients, site.key_check)
    if prepared.patients < terms.minimum_patients:
        raise CohortError(
            f"the {asked.split} split of cohort {asked.cohort} has fewer than {terms.minimum_patients} patients, and "
            "nothing may be told of so few"
        )
    return prepared


def judge(prepared: Prepared, asked: EvaluationRequest, means: Means, progress: Progress) -> Judged:
    """Judges the package, and returns all that may be told, with those of whom it is; `told.settle` has the last word.

    Raises:
        CohortError: Too few patients could be judged.
        PackageError: The package is not what it was.
        PredictionError: Its model cannot be used.
    """
    model = open_model(prepared.package, MemoryBound(means.memory_mb), means.threads)
    split = None if asked.split == "all" else asked.split
    task = Task(
        model=model,
        subjects=prepared.subjects,
        cohort=asked.cohort,
        split=split,
        minimum_patients=prepared.minimum_patients,
        pictured=0,
    )
    judgement, _ = evaluate(task, progress)
    aggregate = aggregate_of(judgement)
    return Judged(
        package=prepared.package.sha256,
        named_under=prepared.named_under,
        patients={case.patient for case in judgement.cases},
        parts=people_behind(judgement, aggregate),
        aggregate=aggregate,
    )


def _package(kit: Kit, index: Path, asked: EvaluationRequest) -> tuple[Package, str | None]:
    trust = read_trust(kit.folder)
    releases, name = Releases(index, trust), f"{asked.model} {asked.version}"
    remark = releases.admit(asked.package, name)
    release = next(one for one in releases.all if one.sha256 == asked.package)
    if (release.name, release.version) != (asked.model, asked.version):
        raise PackageError(f"the request calls its package {name}, and it is {release.name} {release.version}")
    package = open_package(releases.path_of(release), trust)
    if package.sha256 != asked.package:
        raise PackageError(f"the file of {name} in the index is another package than the one that was asked for")
    return package, remark
