"""Writes which case is which series of which patient, for the hospital's own use: it never leaves."""

import csv
import io
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.records.atomic import write_text
from fedvoxel.volumes.cohort.build import BuildReport

_OWNER_ONLY = 0o600
_HEAD = ("case", "outcome", "patient", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")


def write_origins(report: BuildReport, path: Path) -> int:
    """Writes a CSV table: pseudonyms of case and patient, what became of the case, and the hospital's own names.

    Args:
        report: What a build came to.
        path: The table to write, with mode 0600.

    Returns:
        The number of cases listed.

    Raises:
        CohortError: The table cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEAD)
    outcomes = {entry.case: ("usable", entry.patient) for entry in report.manifest.cases}
    outcomes |= {entry.case: (entry.reason, entry.patient) for entry in report.manifest.refused}
    for case, origin in sorted(report.origins.items()):
        table.writerow((case, *outcomes[case], origin.patient_id, origin.study_uid, origin.series_uid))
    try:
        write_text(path, text.getvalue(), _OWNER_ONLY)
    except OSError as error:
        raise CohortError(f"the key file cannot be written: {error.strerror}; choose another --key-file") from None
    return len(report.origins)
