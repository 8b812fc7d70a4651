"""Why a study is not predicted, or its result not handed out: stable reasons, each with what a person can do."""

from typing import Literal, get_args

from fedvoxel.errors import PredictionError

PredictionReason = Literal[
    "no_image",
    "wrong_modality",
    "wrong_body_part",
    "several_series",
    "no_such_series",
    "several_patients",
    "no_study",
    "too_large_for_memory",
    "unusable_model",
    "not_finite",
    "self_test",
    "no_runtime",
]

REMEDIES: dict[PredictionReason, str] = {
    "no_image": "name the folder of a study that holds its images",
    "wrong_modality": "choose a study that the model was made for; its model card says which",
    "wrong_body_part": "choose a study of the body part that the model was made for; its model card says which",
    "several_series": "choose one with --series",
    "no_such_series": "choose one of these with --series",
    "several_patients": "name the folder of one patient, or predict all of them with --all",
    "no_study": "check the query: it names no study that this site may see",
    "too_large_for_memory": "raise --memory-mb if this machine has more, close other programs, or crop the image",
    "unusable_model": "fetch the package again; if it stays so, tell the consortium which version it is",
    "not_finite": "do not use this model on this image, and tell the consortium which version it is",
    "self_test": "nothing was written or sent; report this as a bug in fedvoxel",
    "no_runtime": "install it: pip install '.[clinic]' for ONNX Runtime, '.[openvino]' for OpenVINO",
}

REASONS: tuple[PredictionReason, ...] = get_args(PredictionReason)


def prediction_error(reason: PredictionReason, found: str) -> PredictionError:
    """Returns the error for `reason`: what was found, then what to do."""
    return PredictionError(reason, f"{found}; {REMEDIES[reason]}")
