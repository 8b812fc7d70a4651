"""Keeps account of one build: which cases are taken over as they are, which were built now, which are refused."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.volumes.cohort.case import CaseRefused, NotWritten
from fedvoxel.volumes.cohort.folder import CohortFolder, not_written, writing
from fedvoxel.volumes.cohort.journal import Journal, JournalCase, JournalStudy, keyed_hash
from fedvoxel.volumes.cohort.manifest import FileHashes
from fedvoxel.volumes.cohort.selection import Candidate, Origin, refused
from fedvoxel.volumes.cohort.workers import Bounds, Failed

_MESSAGE_LENGTH = 500
_TRIED_AGAIN = {"timed_out", "out_of_memory", "crashed", "unexpected_error"}
Outcome = FileHashes | CaseRefused | NotWritten | Failed


@dataclass
class BuildProgress:
    """Counts what a build has done so far.

    Attributes:
        files: Files of the source folder that were looked at, and how many there are.
        pulled: Series that came from the PACS in this run, and how many are to come.
        known: Cases that are known of.
    """

    files: tuple[int, int] = (0, 0)
    pulled: tuple[int, int] = (0, 0)
    known: int = 0
    built: int = 0
    reused: int = 0
    refused: int = 0


@dataclass
class CaseRecords:
    """Is the account of one build.

    Attributes:
        key: The site's key, under which sources are remembered.
        settings: The hash of the settings.
        on_progress: Is told after each change.
        entries: What became of each case in this run.
        origins: Whose scan each case is.
        studies: What is known of each study at a PACS.
    """

    folder: CohortFolder
    journal: Journal
    key: str = field(repr=False)
    settings: str
    bounds: Bounds
    on_progress: Callable[[BuildProgress], None]
    progress: BuildProgress = field(default_factory=BuildProgress)
    entries: dict[str, JournalCase] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict, repr=False)
    studies: dict[str, JournalStudy] = field(default_factory=dict)

    def hash_of(self, *parts: object) -> str:
        """Returns the keyed hash of JSON values."""
        return keyed_hash(self.key, *parts)

    def done_before(self, case: str, source: str) -> JournalCase | None:
        """Returns what became of a case of this source under these settings, if that still holds.

        What a slower or smaller machine may have failed at is tried again.
        """
        entry = self.journal.case(case)
        if entry is None or entry.built_as != self._built_as(source, is_refusal=entry.sha256 is None):
            return None
        if entry.sha256 is None:
            return None if entry.reason in _TRIED_AGAIN else entry
        return entry if self.folder.is_intact(case, entry.sha256) else None

    def take_over(self, entry: JournalCase) -> None:
        """Counts a case that an earlier run has finished."""
        self._enter(entry)
        self.progress.reused += entry.sha256 is not None
        self.told()

    def settle(self, candidate: Candidate, source: str, outcome: Outcome, task_folder: Path | None = None) -> None:
        """Puts a case's files into the cohort, or notes why there are none.

        Raises:
            CohortError: The disk does not take it.
        """
        if isinstance(outcome, NotWritten):
            raise not_written(outcome.why)
        entry = self._entry(candidate, source, outcome)
        with writing():
            if task_folder is not None and entry.sha256 is not None:
                self.folder.place(candidate.case, task_folder)
            self.journal.write_case(entry)
        if task_folder is not None:
            self.folder.discard(task_folder)
        self._enter(entry)
        self.progress.built += entry.sha256 is not None
        self.told()

    def refuse_for_now(self, case: str, patient: str, why: CaseRefused) -> None:
        """Notes a refusal of this run only: the next one tries again."""
        unknown = self.hash_of("not tried")
        message = why.message[:_MESSAGE_LENGTH]
        self._enter(JournalCase(case=case, patient=patient, built_as=unknown, reason=why.reason, message=message))
        self.told()

    def on_file(self, done: int, total: int) -> None:
        """Says how many files of a folder were looked at."""
        self.progress.files = (done, total)
        self.told()

    def told(self) -> None:
        """Says how far the build is."""
        self.on_progress(self.progress)

    def _enter(self, entry: JournalCase) -> None:
        self.entries[entry.case] = entry
        self.progress.refused += entry.sha256 is None
        self.progress.known = max(self.progress.known, len(self.entries))

    def _entry(self, candidate: Candidate, source: str, outcome: FileHashes | CaseRefused | Failed) -> JournalCase:
        case, patient = candidate.case, candidate.patient
        if isinstance(outcome, FileHashes):
            built_as = self._built_as(source, is_refusal=False)
            return JournalCase(case=case, patient=patient, built_as=built_as, sha256=outcome)
        if isinstance(outcome, Failed):
            outcome = refused(outcome.failure, f"its process ended without a result ({outcome.detail})")
        built_as = self._built_as(source, is_refusal=True)
        message = outcome.message[:_MESSAGE_LENGTH]
        return JournalCase(case=case, patient=patient, built_as=built_as, reason=outcome.reason, message=message)

    def _built_as(self, source: str, is_refusal: bool) -> str:
        bounds = [self.bounds.memory_bytes, self.bounds.timeout_s] if is_refusal else []
        return self.hash_of(source, self.settings, *bounds)
