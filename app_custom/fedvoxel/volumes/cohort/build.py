"""Builds a cohort from DICOM: every image series becomes a case, or is refused with its reason.

What is done is never done twice: a case is taken over as it is when its source, its settings and its files are those of
before. The manifest comes last and says everything; until then the old one stands.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.dicom.pacs import open_pacs
from fedvoxel.errors import CohortError
from fedvoxel.volumes.build_config import BuildConfig, FolderInput, NiftiLabels
from fedvoxel.volumes.cohort.case import CaseSettings, build_case
from fedvoxel.volumes.cohort.feed import FolderFeed, PacsFeed
from fedvoxel.volumes.cohort.folder import nothing_left, opened, writing
from fedvoxel.volumes.cohort.journal import Journal
from fedvoxel.volumes.cohort.label_table import read_label_table
from fedvoxel.volumes.cohort.making import Making, Run
from fedvoxel.volumes.cohort.manifest import Manifest, ManifestCase, RefusedCase, manifest_of, write_manifest
from fedvoxel.volumes.cohort.pull import pulling
from fedvoxel.volumes.cohort.records import BuildProgress, CaseRecords
from fedvoxel.volumes.cohort.selection import Origin, Selection
from fedvoxel.volumes.cohort.settings import settings_hash
from fedvoxel.volumes.cohort.workers import Bounds, WorkerPool
from fedvoxel.volumes.exclusions import Exclusions
from fedvoxel.volumes.pseudonym import key_check
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.sources import BuiltSource
from fedvoxel.volumes.split import split_of


@dataclass(frozen=True)
class BuildReport:
    """Says what a build came to.

    Attributes:
        built: Cases that were built now.
        reused: Cases that an earlier run had built.
        dropped: Cases of an earlier run that the source, or the search in it, no longer has, or whose patient is out.
        origins: Whose scan each case is; for the hospital's key file only.
    """

    manifest: Manifest
    built: int
    reused: int
    dropped: int
    origins: dict[str, Origin] = field(repr=False)

    @property
    def refused_per_reason(self) -> dict[str, int]:
        """Returns how many cases were refused for each reason that occurred."""
        return dict(sorted(Counter(entry.reason for entry in self.manifest.refused).items()))


def build_cohort(
    site: SiteConfig,
    name: str,
    base: Path,
    workers: int | None = None,
    on_progress: Callable[[BuildProgress], None] = lambda progress: None,
    run: Run = build_case,
) -> BuildReport:
    """Builds the cohort `name`, or what is left of it.

    Args:
        site: The site's own file.
        name: The cohort.
        base: The folder that relative paths in the site's file count from.
        workers: How many cases are built at once; as many as cores and memory allow if None.
        on_progress: Is told how far it is.
        run: What builds one case, in a worker process.

    Raises:
        CohortError: The cohort is not described as one to build, is being built already, the disk is full, the source
            has none of its images, or the list of excluded patients cannot be trusted.
        DicomError: The source cannot be read, or the PACS does not answer.
        ConfigError: A file that the PACS's description names cannot be used.
    """
    cohort = site.cohort(name)
    build, settings = cohort.build, settings_hash(cohort)
    if build is None or settings is None or not isinstance(cohort.source, BuiltSource):
        raise CohortError(f'cohort {name} is not built from DICOM: the site\'s file has no "build" for it')
    _require_apart(build, base, base / cohort.source.folder)
    bounds = Bounds(int(build.case_memory_gib * 2**30), build.case_timeout_s)
    with opened(base / cohort.source.folder) as folder:
        key = site.pseudonym_key.get_secret_value()
        records = CaseRecords(folder, Journal(folder.path), key, settings, bounds, on_progress)
        making = _making(site, cohort, build, base, records)
        try:
            with WorkerPool(run, workers or _workers(build), bounds) as pool:
                making.run(pool)
        finally:
            making.feed.close()
        return _finish(making, cohort)


def _require_apart(build: BuildConfig, base: Path, built: Path) -> None:
    """Refuses a cohort that would be built into its own source, or the reverse."""
    if not isinstance(build.source, FolderInput):
        return
    source, target = (base / build.source.folder).resolve(), built.resolve()
    if source.is_relative_to(target) or target.is_relative_to(source):
        raise CohortError(
            "source.folder and build.source.folder are one folder, or one lies inside the other; give the cohort a "
            "folder outside of the source"
        )


def _making(site: SiteConfig, cohort: CohortConfig, build: BuildConfig, base: Path, records: CaseRecords) -> Making:
    table = read_label_table(base / build.labels.table) if isinstance(build.labels, NiftiLabels) else None
    keys = DeidKeys.of(records.key, build.deid.project)
    selection = Selection(build, site.pseudonym_of, table, Exclusions(site, base).patients())
    settings = CaseSettings(build.deid, keys, build.labels, cohort.classes)
    return Making(_feed(site, base, selection, records), selection, records, settings)


def _feed(site: SiteConfig, base: Path, selection: Selection, records: CaseRecords) -> FolderFeed | PacsFeed:
    source = selection.build.source
    if isinstance(source, FolderInput):
        return FolderFeed(base / source.folder, records.on_file)
    return pulling(open_pacs(site.pacs[source.pacs], base), source, selection, records)


def _finish(making: Making, cohort: CohortConfig) -> BuildReport:
    """Writes the manifest, and only then removes what is not in it."""
    records = making.records
    if not records.entries:
        image = _image_words(making.selection.build)
        raise nothing_left(f"none of the {making.series} series that were found is {image}")
    manifest = _manifest(making, cohort)
    before = set(records.journal.cases())
    with writing():
        write_manifest(records.folder.path, manifest)
        records.journal.keep(records.entries, records.studies)
        records.folder.sweep([entry.case for entry in manifest.cases])
    dropped = len(before - set(records.entries))
    progress, origins = records.progress, {case: records.origins[case] for case in sorted(records.entries)}
    return BuildReport(manifest, progress.built, progress.reused, dropped, origins)


def _manifest(making: Making, cohort: CohortConfig) -> Manifest:
    cases, refused = [], []
    for entry in making.records.entries.values():
        if entry.sha256 is not None:
            split = split_of(entry.patient, cohort.split)
            cases.append(ManifestCase(case=entry.case, patient=entry.patient, split=split, sha256=entry.sha256))
        else:
            reason = entry.reason or "unexpected_error"
            refused.append(RefusedCase(case=entry.case, patient=entry.patient, reason=reason, message=entry.message))
    key, settings = making.records.key, making.records.settings
    files = sum((Counter(study.files_refused) for study in making.records.studies.values()), making.files_refused)
    return manifest_of(cohort.classes, settings, key_check(key), cases, refused, files)


def _image_words(build: BuildConfig) -> str:
    """Returns what an image of the cohort is, in words."""
    described = " described as build.image.description says" if build.image.description else ""
    return f"a {build.image.modality} image with {build.image.minimum_slices} slices or more{described}"


def _workers(build: BuildConfig) -> int:
    """Returns how many cases the cores and the memory of this machine allow at once."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fitting = int(memory / (build.case_memory_gib * 2**30))
    return max(1, min(len(os.sched_getaffinity(0)), fitting))
