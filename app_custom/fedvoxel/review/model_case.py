"""A case that a model is used on first: in the background, once, and kept beside the answers."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedvoxel.errors import FedVoxelError
from fedvoxel.evaluation.inference.prediction import Predictor
from fedvoxel.evaluation.reading.doubt import doubt_of
from fedvoxel.records.atomic import write_json
from fedvoxel.review.reading import MODEL, CaseSource, CaseVolumes
from fedvoxel.review.reading_folder import uncertainty_on
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.nifti_label import label_on
from fedvoxel.volumes.nifti_writer import write_nifti
from fedvoxel.volumes.restoring import values_on_original

_LABEL, _UNCERTAINTY, _DONE = "label.nii.gz", "uncertainty.nii.gz", "done.json"
_QUEUED = "Waits for the model"


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

    def predict(self, predictor: Predictor) -> None:
        """Uses the model, if it was not used yet; what goes wrong is said in `waiting`."""
        if self._waiting is None:
            return
        self._waiting = "The model is at work"
        try:
            self._predict(predictor)
            self._waiting = None
        except FedVoxelError as error:
            self._waiting = f"Cannot be shown: {error}"
        except OSError as error:
            self._waiting = f"Cannot be kept: {error.strerror}"

    def load(self) -> CaseVolumes:
        """Reads the case, and what the model found.

        Raises:
            FedVoxelError: It cannot be shown.
        """
        volumes = self._base.load()
        codes = {code: code for code in range(1, self._structures + 1)}
        label = label_on(volumes.image, *read_nifti(self._folder / _LABEL, "label", "missing_label"), codes)
        doubt = read_nifti(self._folder / _UNCERTAINTY, "uncertainty", "missing_label")
        return CaseVolumes(
            image=volumes.image,
            labels={MODEL: label, **volumes.labels},
            uncertainty=uncertainty_on(volumes.image, *doubt),
            modality=volumes.modality,
            remarks=volumes.remarks,
            origin=volumes.origin,
        )

    def _predict(self, predictor: Predictor) -> None:
        image = self._base.load().image
        prediction = predictor.predict(image)
        doubt = values_on_original(doubt_of(prediction.probabilities), prediction.prepared)
        shutil.rmtree(self._folder, ignore_errors=True)  # of a program that was killed at work
        self._folder.mkdir(mode=0o700, parents=True)
        write_nifti(self._folder / _LABEL, prediction.label, image.affine)
        write_nifti(self._folder / _UNCERTAINTY, np.clip(doubt, 0.0, 1.0), image.affine)
        write_json(self._folder / _DONE, {"schema_version": 1}, 0o600)


def predict_in_background(cases: Sequence[ModelCase], predictor: Predictor) -> threading.Thread:
    """Uses the model on one case after the other, in a thread that does not keep the program from ending."""

    def work() -> None:
        for case in cases:
            case.predict(predictor)

    thread = threading.Thread(target=work, name="predict", daemon=True)
    thread.start()
    return thread
