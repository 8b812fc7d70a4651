"""Prepares a build from a PACS: what is there, what is done already, and what is to be pulled."""

import shutil
from pathlib import Path

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs import Pacs
from fedvoxel.volumes.build_config import BuildConfig, PacsInput
from fedvoxel.volumes.cohort.feed import PacsFeed, Study, studies_of
from fedvoxel.volumes.cohort.folder import nothing_left
from fedvoxel.volumes.cohort.records import CaseRecords
from fedvoxel.volumes.cohort.selection import Origin, Selection, label_modality


def pulling(pacs: Pacs, asked: PacsInput, selection: Selection, records: CaseRecords) -> PacsFeed:
    """Asks the PACS what it has, takes over the studies that are done, and begins to pull the others.

    Raises:
        DicomError: The PACS does not answer, or not as asked.
        CohortError: It has no image series that was asked for.
    """
    studies = _studies(pacs, asked, selection, records)
    store = IncomingStore(records.folder.path.with_name(f"{records.folder.path.name}.incoming"))
    _sweep(store, studies)
    pending = []
    for study in studies:
        if not _is_taken_over(study, records):
            pending.append(study)
            continue
        for series in study.series:
            store.remove(series)
    _note_origins(studies, selection, records)
    records.progress.pulled = (0, sum(len(study.series) for study in pending))
    return PacsFeed(pacs, store, pending, _Counter(records))


def _studies(pacs: Pacs, asked: PacsInput, selection: Selection, records: CaseRecords) -> tuple[Study, ...]:
    build = selection.build
    wanted = {build.image.modality, label_modality(build)}
    found = {series.series_uid: series for series in pacs.find(asked.query)}
    if asked.label_query is not None:
        found |= {series.series_uid: series for series in pacs.find(asked.label_query)}
    series = [each for each in found.values() if each.modality in wanted and not selection.is_excluded(each)]
    looked_for = [_looked_for(build), selection.table.stamps() if selection.table else []]
    studies = studies_of(
        series, build.image.modality, selection.pseudonym_of, lambda listed: records.hash_of(listed, looked_for)
    )
    if not studies:
        raise nothing_left(
            f"the PACS has no {build.image.modality} series that build.source.query asks for "
            f"({len(found)} of other kinds)"
        )
    return studies


def _looked_for(build: BuildConfig) -> object:
    return build.image.model_dump(mode="json")


def _is_taken_over(study: Study, records: CaseRecords) -> bool:
    """Takes a study's cases over, if all of them still are what this run would make."""
    known = records.journal.study(study.name)
    if known is None or known.found_as != study.found_as:
        return False
    entries = [records.done_before(case, study.found_as) for case in known.cases]
    valid = [entry for entry in entries if entry is not None]
    if len(valid) < len(entries):
        return False
    for entry in valid:
        records.take_over(entry)
    records.studies[study.name] = known
    return True


def _note_origins(studies: tuple[Study, ...], selection: Selection, records: CaseRecords) -> None:
    for study in studies:
        for image in study.images:
            case = selection.pseudonym_of(image.series_uid)
            records.origins[case] = Origin(image.patient_id, image.study_uid, image.series_uid)


def _sweep(store: IncomingStore, studies: tuple[Study, ...]) -> None:
    """Removes what lies in the store of series that are no longer asked for: they are a patient's."""
    wanted = {store.series_folder(series).name for study in studies for series in study.series}
    for path in store.folder.iterdir():
        if path.name not in wanted:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


class _Counter:
    """Counts pulled series; called in the thread that pulls."""

    def __init__(self, records: CaseRecords) -> None:
        self._records = records

    def __call__(self) -> None:
        done, total = self._records.progress.pulled
        self._records.progress.pulled = (done + 1, total)
