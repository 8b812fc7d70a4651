"""Writes the DICOM segmentation and report of what a reader accepted or corrected, for the patient's own record.

They are made of a signed model's label map on the hospital's own series only, and each is read back and compared before
it is kept: what lies in the archive of a corrected result are volumes of the correction. What was rejected leaves none.
"""

from dataclasses import replace

from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Said
from fedvoxel.review.open_case import OpenCase
from fedvoxel.review.reading import CORRECTED, MODEL, Reading

_OWNER_ONLY = 0o600


def write_objects(
    opened: OpenCase, record: CaseRecord, said: Said, reading: Reading
) -> dict[str, dict[str, tuple[str, str]]]:
    """Writes segmentation and report of the model's label map, if it was not rejected and the image is from DICOM.

    Returns:
        File and hash, by candidate, as `segmentations` and `reports`; of an empty label map there is a report only.

    Raises:
        DicomError: The series' headers are such that nothing can be made against them.
        PredictionError: An object is not what it should be; nothing is written then.
        OSError: The file cannot be written.
    """
    origin, algorithm = opened.shown.volumes.origin, reading.algorithm
    verdicts = {opened.candidate(one.candidate): one for one in said.judgements}
    if origin is None or algorithm is None or MODEL not in verdicts or verdicts[MODEL].verdict == "reject":
        return {}
    from fedvoxel.evaluation.inference.objects import Said as Result
    from fedvoxel.evaluation.inference.objects import findings_in, reviewed_objects

    corrected = verdicts[MODEL].verdict == "correct"
    label = opened.label(CORRECTED if corrected else verdicts[MODEL].candidate)
    by = replace(algorithm, corrected=corrected, reader=opened.terms.reader)
    volumes = opened.shown.volumes
    of_model = (f"Before the correction: {one}" if corrected else one for one in volumes.of_model)
    findings = findings_in(label, volumes.image.affine, reading.structures)
    result = Result(findings, by, (*reading.remarks, *volumes.remarks, *of_model), reading.eight_bit)
    made = reviewed_objects(origin.series, origin.image, label, result)
    written = {}
    for kind, content in (("segmentation", made.segmentation), ("report", made.report)):
        if content is not None:
            path = record.folder / f"{kind}-{opened.state.entries:06d}.dcm"
            write_bytes(path, content, _OWNER_ONLY)
            written[f"{kind}s"] = {MODEL: (path.name, sha256_of_file(path))}
    return written
