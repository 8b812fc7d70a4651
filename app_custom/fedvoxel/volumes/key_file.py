"""Writes which pseudonym is which case, for the hospital's own use: it never leaves, only its owner may read it."""

import csv
import io
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.records.atomic import write_text
from fedvoxel.volumes.layouts import list_cases
from fedvoxel.volumes.site import SiteConfig

_OWNER_ONLY = 0o600


def write_key_file(site: SiteConfig, cohorts: tuple[str, ...], base: Path, path: Path) -> int:
    """Writes a CSV table: cohort, pseudonym, case, patient, image, labels.

    Args:
        site: The site's own file.
        cohorts: The cohorts to list.
        base: The folder that relative paths in the site's file count from.
        path: The table to write, with mode 0600.

    Returns:
        The number of cases listed.

    Raises:
        CohortError: A cohort is unknown or its list cannot be used, or the table cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("cohort", "pseudonym", "case", "patient", "image", "labels"))
    count = 0
    for name in cohorts:
        for files in list_cases(site.cohort(name), base):
            labels = ";".join(str(label) for label in files.label)
            table.writerow((name, files.case_pseudonym(site), files.case, files.patient, files.image or "", labels))
            count += 1
    try:
        write_text(path, text.getvalue(), _OWNER_ONLY)
    except OSError as error:
        raise CohortError(f"the key file cannot be written: {error.strerror}; choose another --key-file") from None
    return count
