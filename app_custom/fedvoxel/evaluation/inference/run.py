"""Uses a model on a study or on a NIfTI file, from the files that are there to the files that come of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fedvoxel.dicom.study_series import read_study_series
from fedvoxel.evaluation.inference.judging import Judged, explained, judge
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.objects import Said, objects_of
from fedvoxel.evaluation.inference.outcome import LABEL, REPORT, SEGMENTATION, SUMMARY, Outcome, summary_of
from fedvoxel.evaluation.inference.output import result_folder
from fedvoxel.evaluation.inference.study import Study, choose_series
from fedvoxel.evaluation.inference.suitability import ImageFacts, known_body_part, remarks_on
from fedvoxel.records.atomic import write_bytes
from fedvoxel.volumes.dicom_volume import volume_of_study
from fedvoxel.volumes.nifti_file import claimed_voxels, read_nifti
from fedvoxel.volumes.nifti_writer import write_nifti
from fedvoxel.volumes.volume import Volume

Progress = Callable[[int, int], None]
_OWNER_ONLY = 0o600
_NIFTI_BYTES = 16
"""For each voxel while a NIfTI file is read: its bytes, and float64 values that are scaled."""


@dataclass(frozen=True)
class Job:
    """Is how images are predicted.

    Attributes:
        model: With what.
        out: The folder in which each result gets one of its own.
        series: The number of the series to take in each study; the one that fits if None.
        remarks: What a reader of every result must know, one sentence each.
        views: Whether a calibrated model is asked about changed copies of an image too, which takes several times as
            long.
        maps: Whether maps of uncertainty are written.
        explain_s: About how many seconds may go into explaining each structure; None explains nothing.
        eight_bit: Whether segmentations are written with 8 bits for each pixel, for viewers that draw no frames of 1.
    """

    model: Model
    out: Path
    series: int | None = None
    remarks: tuple[str, ...] = ()
    views: bool = True
    maps: bool = False
    explain_s: float | None = None
    eight_bit: bool = False


def predict_study(study: Study, job: Job, progress: Progress | None = None) -> Outcome:
    """Predicts the series of a study that the model is for, and writes segmentation, report and summary.

    Raises:
        PredictionError: The study is not for this model, does not fit into memory, or the result fails its test.
        GeometryError: The series does not make a volume.
        DicomError: A file cannot be read.
        ConfigError: The results cannot be written.
    """
    predictor = job.model.predictor
    expected = predictor.description.input
    entry = choose_series(study, expected, job.series)
    predictor.bound.require_preparing((entry.voxels,))
    series = read_study_series(entry.files)
    image = volume_of_study(series)
    body_part = known_body_part(series.headers[0].get("BodyPartExamined"))
    facts = ImageFacts.of(series.modality, body_part, image.volume.shape, image.volume.affine)
    remarks = (*job.remarks, *remarks_on(facts, expected))
    prediction = predictor.predict(image.volume, progress)
    judged = judge(job.model, prediction, job.views, progress)
    said = Said(judged.findings, job.model.algorithm, (*remarks, *judged.remarks), job.eight_bit)
    made = objects_of(series, image, prediction, said)
    files = {SEGMENTATION: made.segmentation, REPORT: made.report}
    source = {"study": study.number, "series": entry.number, "modality": series.modality, "slices": entry.frames}
    with result_folder(job.out) as (waiting, place):
        names = (*_write(waiting, files), *_write_maps(waiting, judged, job, image.volume, progress))
        outcome = Outcome(place, names, source, said.findings, made.remarks, image.left_out, judged.as_json())
        return _finished(outcome, waiting, job.model)


def predict_nifti(path: Path, job: Job, progress: Progress | None = None) -> Outcome:
    """Predicts a NIfTI file, and writes the label map on its grid and the summary.

    Raises:
        PredictionError: It does not fit into memory, or the model fails.
        GeometryError: The file is no volume that can be trusted.
        ConfigError: The results cannot be written.
    """
    predictor = job.model.predictor
    predictor.bound.require(claimed_voxels(path) * _NIFTI_BYTES, "reading the file")
    volume = Volume(*read_nifti(path, "image", "missing_image"))
    facts = ImageFacts.of(None, None, volume.shape, volume.affine)
    remarks = (*job.remarks, *remarks_on(facts, predictor.description.input))
    prediction = predictor.predict(volume, progress)
    judged = judge(job.model, prediction, job.views, progress)
    with result_folder(job.out) as (waiting, place):
        write_nifti(waiting / LABEL, prediction.label, volume.affine)
        names = (LABEL, *_write_maps(waiting, judged, job, volume, progress))
        source, said = {"slices": volume.shape[2]}, (*remarks, *judged.remarks)
        outcome = Outcome(place, names, source, judged.findings, said, assessment=judged.as_json())
        return _finished(outcome, waiting, job.model)


def _write_maps(folder: Path, judged: Judged, job: Job, volume: Volume, progress: Progress | None) -> list[str]:
    maps = judged.maps() if job.maps else {}
    if job.explain_s is not None:
        maps |= explained(job.model, judged.prediction, job.explain_s, progress)
    for name, values in maps.items():
        write_nifti(folder / name, values, volume.affine)
    return list(maps)


def _write(folder: Path, files: dict[str, bytes | None]) -> list[str]:
    written = []
    for name, content in files.items():
        if content is not None:
            write_bytes(folder / name, content, _OWNER_ONLY)
            written.append(name)
    return written


def _finished(outcome: Outcome, waiting: Path, model: Model) -> Outcome:
    text = json.dumps(summary_of(outcome, model), indent=2, allow_nan=False) + "\n"
    write_bytes(waiting / SUMMARY, text.encode(), _OWNER_ONLY)
    return replace(outcome, files=(*outcome.files, SUMMARY))
