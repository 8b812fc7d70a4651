"""A case that a model is used on first: in the background, once, and kept beside the answers."""

import shutil
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import FedVoxelError
from fedvoxel.evaluation.inference.judging import ENTROPY, Judged, judge
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.reading.doubt import doubt_of
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import Sha256
from fedvoxel.review.reading import MODEL, CaseSource, CaseVolumes, UncertaintyMap
from fedvoxel.review.reading_folder import uncertainty_on
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.nifti_label import label_on
from fedvoxel.volumes.nifti_writer import write_nifti
from fedvoxel.volumes.restoring import values_on_original
from fedvoxel.volumes.volume import Volume

_LABEL, _UNCERTAINTY, _DONE = "label.nii.gz", "uncertainty.nii.gz", "done.json"
_QUEUED = "Waits for the model"


class _Done(FrozenModel):
    """Is written when all of a case's results are.

    Attributes:
        read_from: What the case was read from; see `CaseVolumes`. A version that did not note it left None.
        remarks: What the model's calibration has to say of the results.
    """

    schema_version: Literal[1] = 1
    read_from: Sha256 | None = None
    remarks: tuple[str, ...] = ()


class ModelCase:
    """Is a case of another source, with the model's label map beside those that it has."""

    def __init__(self, base: CaseSource, folder: Path, structures: int) -> None:
        """Takes what is kept in `folder`, if the model was used before."""
        self._base, self._folder, self._structures = base, folder, structures
        self._waiting = None if (folder / _DONE).is_file() else _QUEUED

    @property
    def case(self) -> str:
        """Is the case's pseudonym."""
        return self._base.case

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names the model's label map, then the others."""
        return (MODEL, *self._base.candidates)

    @property
    def waiting(self) -> str | None:
        """Says that the model was not used yet, or why it cannot be; None when the case can be opened."""
        return self._waiting

    def predict(self, model: Model) -> None:
        """Uses the model, if it was not used yet; whatever goes wrong is said in `waiting`, and is no other case's."""
        if self._waiting is None:
            return
        self._waiting = "The model is at work"
        try:
            self._predict(model)
            self._waiting = None
        except FedVoxelError as error:
            self._waiting = f"Cannot be shown: {error}"
        except OSError as error:
            self._waiting = f"Cannot be kept: {error.strerror}"
        except Exception as error:  # of a library, or too little memory; its own text may quote the case
            self._waiting = f"Cannot be shown: {type(error).__name__}"

    @property
    def examination(self) -> str | None:
        """Is what tells the examination."""
        return self._base.examination

    def claimed_voxels(self) -> int:
        """Returns what the image claims."""
        return self._base.claimed_voxels()

    def load(self) -> CaseVolumes:
        """Reads the case, and what the model found.

        Raises:
            FedVoxelError: It cannot be shown, or is not of the images that the model was used on.
        """
        volumes = self._base.load()
        done = load_json_config(_Done, self._folder / _DONE, "what is kept of the model's use")
        volumes.require_read_from(done.read_from)
        codes = {code: code for code in range(1, self._structures + 1)}
        label = label_on(volumes.image, *read_nifti(self._folder / _LABEL, "label", "missing_label"), codes)
        return CaseVolumes(
            image=volumes.image,
            labels={MODEL: label, **volumes.labels},
            read_from=volumes.read_from,
            uncertainty=UncertaintyMap(partial(self._uncertainty, volumes.image)),
            modality=volumes.modality,
            remarks=volumes.remarks,
            of_model=done.remarks,
            origin=volumes.origin,
        )

    def _uncertainty(self, image: Volume) -> NDArray[np.float32]:
        return uncertainty_on(image, *read_nifti(self._folder / _UNCERTAINTY, "uncertainty", "missing_label"))

    def _predict(self, model: Model) -> None:
        model.predictor.bound.require_preparing((self._base.claimed_voxels(),))
        volumes = self._base.load()
        image = volumes.image
        prediction = model.predictor.predict(image)
        judged = judge(model, prediction, views=True)
        shutil.rmtree(self._folder, ignore_errors=True)  # of a program that was killed at work
        self._folder.mkdir(mode=0o700, parents=True)
        write_nifti(self._folder / _LABEL, prediction.label, image.affine)
        write_nifti(self._folder / _UNCERTAINTY, np.clip(_doubt(judged), 0.0, 1.0), image.affine)
        done = _Done(read_from=volumes.read_from, remarks=(*judged.remarks, *_estimates(judged)))
        write_json(self._folder / _DONE, done.model_dump(mode="json"), 0o600)


def _doubt(judged: Judged) -> NDArray[np.float32]:
    """Returns the entropy on the original grid: calibrated, where the model came with a calibration."""
    calibrated = judged.maps().get(ENTROPY)
    if calibrated is not None:
        return calibrated
    return values_on_original(doubt_of(judged.prediction.probabilities), judged.prediction.prepared)


def _estimates(judged: Judged) -> list[str]:
    """Returns what is estimated of each structure, in a sentence; nothing without a calibration."""
    if judged.assessment is None:
        return []
    said = []
    for finding, trust in zip(judged.findings, judged.assessment.trust.values(), strict=True):
        known = []
        if finding.interval is not None:
            low, high = finding.interval.low_ml, finding.interval.high_ml
            known.append(f"volume {finding.volume_ml:.2f} ml ({low:.2f} to {high:.2f})")
        if trust.dice is not None:
            known.append(f"estimated Dice {trust.dice:.2f}, with an error of about {trust.dice_error:.2f}")
        if known:
            said.append(f"{finding.label} as the model found it: {'; '.join(known)}.")
    return said


def predict_in_background(cases: Sequence[ModelCase], model: Model) -> threading.Thread:
    """Uses the model on one case after the other, in a thread that does not keep the program from ending."""

    def work() -> None:
        for case in cases:
            case.predict(model)

    thread = threading.Thread(target=work, name="predict", daemon=True)
    thread.start()
    return thread
