"""Says which DICOM results of a study may go into the patients' records: none that its readers disagree about."""

from collections.abc import Sequence

from fedvoxel.review.study_table import StudyRow


def storable_rows(rows: Sequence[StudyRow], reader: str | None) -> tuple[tuple[StudyRow, ...], dict[str, str]]:
    """Returns the rows whose DICOM results may be stored, and why that is not so of a case.

    Where one reader rejected what another accepted or corrected, nothing of the case is stored until somebody says
    whose results count. Two readers who both accepted or corrected have a result each, which says whose it is.

    Args:
        rows: All rows of the study.
        reader: Whose results count; None for those of all.

    Returns:
        The rows, and a sentence for each case that is withheld.
    """
    made = [row for row in rows if row.report is not None]
    if reader is not None:
        return tuple(row for row in made if row.reader == reader), {}
    rejecting = {(row.case, row.candidate): row.reader for row in rows if row.verdict == "reject"}
    disputed = [row for row in made if (row.case, row.candidate) in rejecting]
    withheld = {
        row.case: f"{row.case}: {rejecting[row.case, row.candidate]} rejected what {row.reader} did not; it has no "
        "DICOM result here until you say whose count, with --reader"
        for row in disputed
    }
    return tuple(row for row in made if row not in disputed), withheld
