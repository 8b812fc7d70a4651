"""Takes what a feed hands out to worker processes and their results to the records, until nothing is left."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.dicom.series import SeriesFiles
from fedvoxel.volumes.cohort.case import CaseSettings, CaseTask
from fedvoxel.volumes.cohort.feed import Batch, FolderFeed, PacsFeed, Study
from fedvoxel.volumes.cohort.folder import writing
from fedvoxel.volumes.cohort.journal import JournalStudy
from fedvoxel.volumes.cohort.records import CaseRecords, Outcome
from fedvoxel.volumes.cohort.selection import Candidate, Selection
from fedvoxel.volumes.cohort.workers import WorkerPool

Run = Callable[[CaseTask], Outcome]
_PATIENCE_S = 0.2


@dataclass(frozen=True)
class _Job:
    candidate: Candidate
    source: str
    study: Study | None


@dataclass
class Making:
    """Is the middle of a build.

    Attributes:
        files_refused: Files of a folder that were not taken into any series, by reason.
        series: How many series were looked at.
    """

    feed: FolderFeed | PacsFeed
    selection: Selection
    records: CaseRecords
    settings: CaseSettings
    files_refused: Counter[str] = field(default_factory=Counter)
    series: int = 0
    _waiting: deque[_Job] = field(default_factory=deque)
    _running: dict[str, _Job] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)

    def run(self, pool: WorkerPool[CaseTask, Outcome]) -> None:
        """Builds all that the feed has.

        Raises:
            CohortError: The disk is full.
            DicomError: The source cannot be read.
        """
        while not self.feed.exhausted or self._waiting or self._running:
            idle = not self._waiting and not self._running
            if not self.feed.exhausted and len(self._waiting) <= pool.free:
                batch = self.feed.next(_PATIENCE_S if idle else 0.0)
                if batch is not None:
                    self._take_in(batch)
            while self._waiting and pool.free:
                pool.begin(self._task(self._waiting.popleft()))
            for task, outcome in pool.finished(_PATIENCE_S):
                job = self._running.pop(task.case)
                self.records.settle(job.candidate, job.source, outcome, task.folder)
                self._count_down(job.study)
            self.records.told()

    def _take_in(self, batch: Batch) -> None:
        if batch.failure is not None and batch.study is not None:
            return self._refuse_study(batch)
        candidates = self.selection.candidates(batch.inventory)
        self.series += len(batch.inventory.series)
        if batch.study is None:
            self.files_refused.update(dict(batch.inventory.refused))
        self.records.progress.known += len(candidates)
        if batch.study is not None:
            self._remember(batch.study, batch, candidates)
        jobs = [
            _Job(each, batch.study.found_as if batch.study else self._source(each), batch.study) for each in candidates
        ]
        todo = [job for job in jobs if not self._is_settled(job)]
        self._waiting += todo
        if batch.study is not None:
            self._left[batch.study.name] = len(todo) + 1
            self._count_down(batch.study)
        return None

    def _is_settled(self, job: _Job) -> bool:
        """Takes over what is known of a case, or refuses it where there is nothing to build."""
        candidate = job.candidate
        self.records.origins[candidate.case] = candidate.origin
        known = self.records.done_before(candidate.case, job.source)
        if known is not None:
            self.records.take_over(known)
        elif candidate.refusal is not None:
            self.records.settle(candidate, job.source, candidate.refusal)
        return known is not None or candidate.refusal is not None

    def _task(self, job: _Job) -> CaseTask:
        candidate = job.candidate
        if candidate.label is None:
            raise ValueError("a case without a label is not built")
        with writing():
            folder = self.records.folder.task_folder()
        self._running[candidate.case] = job
        return CaseTask(candidate.case, candidate.image, candidate.label, folder, self.settings)

    def _remember(self, study: Study, batch: Batch, candidates: tuple[Candidate, ...]) -> None:
        cases = tuple(candidate.case for candidate in candidates)
        entry = JournalStudy(found_as=study.found_as, cases=cases, files_refused=dict(batch.inventory.refused))
        with writing():
            self.records.journal.write_study(study.name, entry)
        self.records.studies[study.name] = entry

    def _refuse_study(self, batch: Batch) -> None:
        if batch.study is None or batch.failure is None:
            return
        for image in batch.study.images:
            case = self.selection.pseudonym_of(image.series_uid)
            patient = self.selection.patient_of(image.patient_id, image.study_uid) or case
            self.records.refuse_for_now(case, patient, batch.failure)

    def _count_down(self, study: Study | None) -> None:
        """Removes a study's series as the PACS has them, once all of its cases are settled."""
        if study is None:
            return
        self._left[study.name] -= 1
        if not self._left[study.name]:
            self.feed.release(study)

    def _source(self, candidate: Candidate) -> str:
        """Returns the hash of what a case in a folder is made of: which series, and whether a file changed."""
        label = candidate.label
        labelled = label.series_uid if isinstance(label, SeriesFiles) else ""
        paths = label.paths if isinstance(label, SeriesFiles) else (label,) if isinstance(label, Path) else ()
        stamps = [sorted(map(_stamp, each)) for each in (candidate.image.paths, paths)]  # whatever the files' names
        return self.records.hash_of(candidate.image.series_uid, labelled, stamps)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
