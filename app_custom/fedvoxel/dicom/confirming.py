"""Stores at a PACS only what belongs there, and asks whether it is there.

Before anything is sent the PACS says whose the studies are: a patient may have been merged or corrected there since the
images were fetched, and results under the old number would go to nobody, or to somebody else. Afterwards it is asked
for each object: a status that says stored is a promise, a list that shows it is proof.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.outgoing import Outgoing, read_outgoing
from fedvoxel.dicom.pacs import Pacs

_TRIES, _PAUSE_S = 5, 1.0


def store_confirmed(pacs: Pacs, paths: Sequence[Path], new_study: bool = False) -> None:
    """Stores files at a PACS and asks it for each of them; it is given some seconds to list what it took.

    Storing the same files again is harmless.

    Args:
        pacs: Where.
        paths: The files.
        new_study: Whether a study may be one that the PACS does not know.

    Raises:
        DicomError: A study is another patient's at the PACS, or unknown to it: nothing was sent. Or it did not take
            every file, or does not list it afterwards.
    """
    outgoing = read_outgoing(paths)
    check_owners(pacs, outgoing, new_study)
    expected: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in outgoing:
        expected[one.study_uid, one.series_uid].add(one.instance_uid)
    pacs.send(paths)
    missing = 0
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        missing = sum(len(wanted - pacs.instances(*series)) for series, wanted in expected.items())
        if not missing:
            return
    raise dicom_error("pacs_not_stored", f"the PACS took {len(paths)} objects, and does not list {missing} of them")


def check_owners(pacs: Pacs, outgoing: Sequence[Outgoing], new_study: bool) -> None:
    """Holds objects against what the PACS says of their studies' patients.

    An issuer is compared where both say one: many PACS keep none.

    Raises:
        DicomError: pacs_other_patient, or pacs_unknown_study unless that may be.
    """
    unknown = 0
    for study_uid in sorted({one.study_uid for one in outgoing}):
        owners = pacs.owners(study_uid)
        unknown += not owners
        for one in outgoing:
            if one.study_uid == study_uid and not all(_is_same(one, *owner) for owner in owners):
                raise dicom_error("pacs_other_patient", "at the PACS a study has another PatientID than the objects")
    if unknown and not new_study:
        raise dicom_error("pacs_unknown_study", f"the PACS does not know {unknown} of the objects' studies")


def _is_same(one: Outgoing, patient_id: str, issuer: str) -> bool:
    return one.patient_id == patient_id and (not (issuer and one.issuer) or issuer == one.issuer)
