"""Which settings decide what is in a built cohort's files: another value of one of them means building again."""

from fedvoxel.records.canonical import sha256_of
from fedvoxel.volumes.site import CohortConfig

_FORMAT = 1
"""Is raised when the same settings would give other files than before."""


def settings_hash(cohort: CohortConfig) -> str | None:
    """Returns the hash of the settings that `cohort` is built with; None where it is not built from DICOM here.

    Where series come from and which are chosen is left out: that decides which cases there are, not what is in one.
    """
    if cohort.build is None:
        return None
    labels = cohort.build.labels.model_dump(mode="json", exclude={"table"})
    deid = cohort.build.deid.model_dump(mode="json")
    return sha256_of({"format": _FORMAT, "classes": cohort.classes, "labels": labels, "deid": deid})
