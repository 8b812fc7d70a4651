"""Takes a reader's answer: measures what was corrected, writes what comes of it, and keeps both as one event."""

from collections.abc import Mapping

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.edits import StructureEdit, edits_of
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.events import Answered, Said
from fedvoxel.review.open_case import OpenCase
from fedvoxel.review.reading import CORRECTED, Reading
from fedvoxel.review.result_objects import write_objects
from fedvoxel.volumes.nifti_writer import write_nifti


def answer(opened: OpenCase, record: CaseRecord, said: Said, reading: Reading) -> None:
    """Keeps an answer; it is on disk when this returns. A former answer stays in the record.

    Raises:
        ReviewError: The answer does not fit the case, or an answer is final.
        FedVoxelError: A DICOM object cannot be made; nothing is kept then.
        OSError: A file cannot be written.
    """
    with opened.lock:
        _require_fitting(opened, said)
        named = opened.terms.candidates
        corrected = {judgement.candidate for judgement in said.judgements if judgement.verdict == "correct"}
        volumes = {which: opened.volumes_ml(CORRECTED if name in corrected else name) for name, which in named.items()}
        file, digest, edits = _write_corrected(opened, record) if corrected else (None, None, ())
        objects = write_objects(opened, record, said, reading)
        opened.note(
            Answered(
                said=_by_candidate(said, named),
                volumes_ml=volumes,
                corrected_file=file,
                corrected_sha256=digest,
                segmentations=objects.get("segmentations", {}),
                reports=objects.get("reports", {}),
                edits=edits,
            )
        )


def _require_fitting(opened: OpenCase, said: Said) -> None:
    opened.require_changeable()
    judged = [judgement.candidate for judgement in said.judgements]
    if sorted(judged) != sorted(opened.terms.candidates):
        raise ReviewError(f"expected an answer to each of {len(opened.terms.candidates)} label maps, got {len(judged)}")
    if said.preferred is not None and said.preferred not in judged:
        raise ReviewError("the preferred label map is none of this case's")
    corrected = [judgement.candidate for judgement in said.judgements if judgement.verdict == "correct"]
    if corrected not in ([], [opened.base]):
        raise ReviewError("only the label map that was corrected with the brush can be answered as corrected")
    if corrected and not opened.is_changed:
        raise ReviewError("nothing is changed by the correction: paint what is wrong, or answer accept")
    if opened.is_changed and any(one.candidate == opened.base and one.verdict == "accept" for one in said.judgements):
        raise ReviewError(
            "the outline was painted on, and accept would store it without that: answer correct to save what was "
            "painted, or choose Restart to discard it"
        )


def _write_corrected(opened: OpenCase, record: CaseRecord) -> tuple[str, str, tuple[StructureEdit, ...]]:
    if opened.correction is None or opened.state.base is None:
        raise ReviewError("no correction was begun: choose what to correct first")
    volumes, label = opened.shown.volumes, opened.correction.label
    path = record.folder / f"corrected-{opened.state.entries:06d}.nii.gz"
    path.unlink(missing_ok=True)  # of a program that was killed before it noted the answer
    write_nifti(path, label, volumes.image.affine)
    edits = edits_of(volumes.labels[opened.state.base], label, volumes.image.affine, opened.terms.structures)
    return path.name, sha256_of_file(path), edits


def _by_candidate(said: Said, named: Mapping[str, str]) -> Said:
    """Returns the answer with the candidates' own names: what A was must not hang on a seed alone."""
    judgements = tuple(one.model_copy(update={"candidate": named[one.candidate]}) for one in said.judgements)
    preferred = None if said.preferred is None else named[said.preferred]
    return said.model_copy(update={"judgements": judgements, "preferred": preferred})
