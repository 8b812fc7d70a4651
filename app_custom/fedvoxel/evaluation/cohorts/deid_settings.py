"""Says in words how a cohort was de-identified: the policy's choices, none of its lists of devices."""

from fedvoxel.config import FrozenModel
from fedvoxel.volumes.site import CohortConfig

_DATES = {
    "shift": "moved by an interval of each patient's own (113107)",
    "remove": "removed",
}
_FACES = {
    "refuse": "series that show a head, or may, are refused",
    "defaced": "the hospital declares that faces were removed before",
    "kept": "the hospital accepts that faces stay",
}


class DeidSettings(FrozenModel):
    """Holds the settings, by what they are about.

    Attributes:
        project: Pseudonyms, UIDs and dates are keyed with it.
        settings: (what, how) of each choice.
    """

    project: str
    settings: tuple[tuple[str, str], ...]


def deid_settings(cohort: CohortConfig) -> DeidSettings | None:
    """Returns the settings under which a cohort is built, or None if it is not built from DICOM here.

    Source: DICOM PS3.15 Annex E, options of the basic profile.
    """
    if cohort.build is None:
        return None
    policy = cohort.build.deid
    return DeidSettings(
        project=policy.project,
        settings=(
            ("Profile", "DICOM PS3.15 Annex E, basic application level confidentiality profile"),
            ("Dates", _DATES[policy.dates]),
            ("Sex, age, size", "kept (113108)" if policy.patient_characteristics else "removed"),
            ("Device", "maker kept, model where listed (113109)" if policy.device_identity else "removed"),
            ("Text in pictures", "refused" if policy.burned_in == "refuse" else "made black by device (113101)"),
            ("Faces", _FACES[policy.faces]),
            ("Without PatientID", "refused" if policy.unnamed_patients == "refuse" else "each study is a patient"),
        ),
    )
