"""The gate that a release can be put behind: a reader study of all hospitals that meets what was asked beforehand."""

from dataclasses import dataclass
from pathlib import Path

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConfigError, ReleaseGateError
from fedvoxel.federation.reader_study.requirement import (
    ReaderStudyEvidence,
    ReaderStudyRequirement,
    seen_in,
    unmet,
)
from fedvoxel.federation.reader_study.result import ReaderStudyResult


@dataclass(frozen=True)
class ReaderStudyGate:
    """Is what a publisher brings.

    Attributes:
        result: The result of a reader study, a file; None for none.
        required: What is asked of it; None where the index says it.
        of_every_release: What a new index will require of every release; None for nothing.
    """

    result: Path | None = None
    required: ReaderStudyRequirement | None = None
    of_every_release: ReaderStudyRequirement | None = None

    def evidence(self, package: str, of_index: ReaderStudyRequirement | None) -> ReaderStudyEvidence | None:
        """Returns the evidence about a package; None where no result was brought.

        Args:
            package: Its identity.
            of_index: What the index requires of every release, which then counts.

        Raises:
            ConfigError: Nothing says what is asked of the result, or it cannot be read.
            ReleaseGateError: It is about another package, falls short, or is asked for less than the index requires.
        """
        if self.result is None:
            return None
        required = of_index or self.required
        if required is None:
            raise ConfigError("expected what is asked of the reader study, stated before it was done: --reader-policy")
        if self.required not in (None, required):
            raise ReleaseGateError("the index requires something else of a reader study than --reader-policy")
        return evidence_of(self.result, package, required)


NO_GATE = ReaderStudyGate()
"""Is what a publisher brings who brings nothing."""


def read_requirement(path: Path) -> ReaderStudyRequirement:
    """Reads what is asked of a reader study.

    Raises:
        ConfigError: The file is missing, or does not say it.
    """
    return load_json_config(ReaderStudyRequirement, path, "the requirement of a reader study")


def evidence_of(result: Path, package: str, required: ReaderStudyRequirement) -> ReaderStudyEvidence:
    """Holds the result of a reader study of a package against what is asked of it.

    Args:
        result: The file that the job has written.
        package: Identity of the package that is to be released.
        required: What is asked.

    Raises:
        ConfigError: The result is missing, or is not what a job writes.
        ReleaseGateError: It is about another package, or falls short.
    """
    found = load_json_config(ReaderStudyResult, result, "the result of a reader study")
    if found.package != package:
        raise ReleaseGateError(
            f"the reader study {found.study!r} is about another package ({found.package[:16]}…) than the one to be "
            f"released ({package[:16]}…): run jobs/reader_study for this one"
        )
    evidence = ReaderStudyEvidence(required=required, seen=seen_in(found))
    if missing := unmet(evidence):
        raise ReleaseGateError(
            f"the reader study {found.study!r} falls short, nothing was released: " + "; ".join(missing)
        )
    return evidence


def check_evidence(state: str, evidence: ReaderStudyEvidence | None, required: ReaderStudyRequirement | None) -> None:
    """Checks that a statement of an index may stand: its evidence suffices, and is there where the index requires it.

    Args:
        state: The state that is set.
        evidence: What the statement says of a reader study.
        required: What every release of the index requires; None for nothing.

    Raises:
        ReleaseGateError: It may not.
    """
    if evidence is not None and unmet(evidence):
        raise ReleaseGateError("its reader study falls short of what it says was required")
    if state != "released" or required is None:
        return
    if evidence is None:
        raise ReleaseGateError(
            "this index requires a reader study of every release: give its result with --require-reader-study"
        )
    if evidence.required != required:
        raise ReleaseGateError("the reader study was held against other requirements than those of this index")
