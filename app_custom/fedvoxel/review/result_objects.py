"""Writes DICOM segmentations of what a reader accepted or corrected, for the patient's own record.

They are made of a signed model's label map on the hospital's own series only, and each is read back and compared voxel
by voxel before it is kept. What was rejected leaves none.
"""

from dataclasses import replace

from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Said
from fedvoxel.review.open_case import OpenCase
from fedvoxel.review.reading import CORRECTED, MODEL, Reading

_OWNER_ONLY = 0o600


def write_segmentations(
    opened: OpenCase, record: CaseRecord, said: Said, reading: Reading
) -> dict[str, tuple[str, str]]:
    """Writes the segmentation of the model's label map, if it was not rejected and the image is from DICOM.

    Returns:
        File and hash, by candidate; nothing where there is nothing to write.

    Raises:
        DicomError: The series' headers are such that nothing can be made against them.
        PredictionError: The segmentation is not what it should be; nothing is written then.
        OSError: The file cannot be written.
    """
    origin, algorithm = opened.shown.volumes.origin, reading.algorithm
    verdicts = {opened.candidate(one.candidate): one for one in said.judgements}
    if origin is None or algorithm is None or MODEL not in verdicts or verdicts[MODEL].verdict == "reject":
        return {}
    from fedvoxel.evaluation.inference.objects import segmentation_bytes

    corrected = verdicts[MODEL].verdict == "correct"
    label = opened.label(CORRECTED if corrected else verdicts[MODEL].candidate)
    by = replace(algorithm, corrected=corrected)
    content = segmentation_bytes(origin.series, origin.image, label, reading.structures, by)
    if content is None:
        return {}
    path = record.folder / f"segmentation-{opened.state.entries:06d}.dcm"
    write_bytes(path, content, _OWNER_ONLY)
    return {MODEL: (path.name, sha256_of_file(path))}
