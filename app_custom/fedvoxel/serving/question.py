"""What a request asks: images with their affines, what is known of them, and what is wanted back.

A request that holds anything else is refused: a parameter with a slip in its name, such as a modality that nobody then
looks at, is worse than one that is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedvoxel.serving.refusal import malformed

IMAGE, AFFINE = "image", "affine"
MODALITY, BODY_PART, QUICK = "modality", "body_part", "quick"

Output = Literal["label", "volumes_ml", "probabilities", "entropy"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
DEFAULT_OUTPUTS: tuple[Output, ...] = ("label", "volumes_ml")

MOST_IMAGES = 64
"""In one request."""

_TRANSPORT = frozenset({"binary_data_output", "binary_data_size"})
"""Parameters of the protocol itself, which say how tensors travel."""
_KNOWN = frozenset({AFFINE, MODALITY, BODY_PART, QUICK}) | _TRANSPORT
_AFFINE_SHAPE = (4, 4)


@dataclass(frozen=True, eq=False)
class Tensor:
    """Is one input of a request.

    Attributes:
        name: What the client calls it.
        datatype: In the protocol's words, such as FP32.
        values: In the shape that the client says.
        parameters: What is said beside it.
    """

    name: str
    datatype: str
    values: NDArray[Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Question:
    """Is a request in order.

    Attributes:
        images: float32 (N, X, Y, Z).
        affines: float64 (N, 4, 4), voxel indices to RAS millimetres.
        is_batch: Whether the client sent several images, and wants its results with the same leading axis.
        modality: DICOM Modality of all of them; None where nobody said.
        body_part: BodyPartExamined of all of them; None where nobody said.
        outputs: What is wanted back.
        quick: Whether to do without changed copies of the image, which a calibrated model is asked about else.
    """

    images: NDArray[np.float32]
    affines: NDArray[np.float64]
    is_batch: bool
    modality: str | None = None
    body_part: str | None = None
    outputs: tuple[Output, ...] = DEFAULT_OUTPUTS
    quick: bool = False


def question_of(tensors: Sequence[Tensor], parameters: Mapping[str, Any], outputs: Sequence[str]) -> Question:
    """Returns what a request asks.

    Args:
        tensors: Its inputs.
        parameters: Those of the request; an input's own count as if they stood there.
        outputs: The names of the outputs that it wants; the usual ones where there are none.

    Raises:
        PredictionError: malformed_request.
    """
    named = _by_name(tensors)
    said = _together(parameters, *(tensor.parameters for tensor in tensors))
    images = _images(named[IMAGE])
    return Question(
        images=images.reshape(-1, *images.shape[-3:]),
        affines=_affines(named.get(AFFINE), said.get(AFFINE), len(images) if images.ndim == 4 else 1),
        is_batch=images.ndim == 4,
        modality=_word(said, MODALITY),
        body_part=_word(said, BODY_PART),
        outputs=_outputs(outputs),
        quick=_flag(said, QUICK),
    )


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    names = [tensor.name for tensor in tensors]
    if sorted(names) not in ([IMAGE], [AFFINE, IMAGE]):
        raise malformed(f"expected the inputs {IMAGE!r} and perhaps {AFFINE!r}, each once, got {len(names)} inputs")
    return {tensor.name: tensor for tensor in tensors}


def _together(*parts: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name not in _KNOWN:
                known = ", ".join(sorted(_KNOWN - _TRANSPORT))
                raise malformed(f"expected no parameters but {known}, got another one")
            if name in said and name not in _TRANSPORT and said[name] != value:
                raise malformed(f"the parameter {name} is given twice, with different values")
            said[name] = value
    return said


def _images(tensor: Tensor) -> NDArray[np.float32]:
    shape = tensor.values.shape
    if tensor.datatype != "FP32" or tensor.values.dtype != np.float32:
        raise malformed(f"expected {IMAGE!r} as FP32, got another datatype")
    if len(shape) not in (3, 4) or 0 in shape:
        raise malformed(f"expected {IMAGE!r} as X, Y, Z, or N, X, Y, Z of several images, got {len(shape)} axes")
    if len(shape) == 4 and shape[0] > MOST_IMAGES:
        raise malformed(f"expected at most {MOST_IMAGES} images in a request, got {shape[0]}")
    return tensor.values


def _affines(tensor: Tensor | None, text: Any, count: int) -> NDArray[np.float64]:
    """Returns the affine of each of `count` images: one for all, or one for each."""
    if (tensor is None) == (text is None):
        raise malformed(f"expected {AFFINE!r} once: as an input, or as a parameter")
    if tensor is None:
        values = _numbers(text)
    elif tensor.datatype in ("FP64", "FP32"):
        values = tensor.values.astype(np.float64)
    else:
        raise malformed(f"expected {AFFINE!r} as FP64 or FP32, got another datatype")
    if values.shape not in (_AFFINE_SHAPE, (count, *_AFFINE_SHAPE)):
        raise malformed(f"expected {AFFINE!r} as 4, 4, or one for each of several images, got another shape")
    return np.broadcast_to(values, (count, *_AFFINE_SHAPE))


def _numbers(text: Any) -> NDArray[np.float64]:
    try:
        return np.array([float(word) for word in text.split(",")], np.float64).reshape(_AFFINE_SHAPE)
    except (AttributeError, ValueError):
        raise malformed(f"expected the parameter {AFFINE!r} as 16 numbers, row by row, with commas between") from None


def _word(said: Mapping[str, Any], name: str) -> str | None:
    word = said.get(name)
    if word is not None and not (isinstance(word, str) and 0 < len(word) <= 64):
        raise malformed(f"expected the parameter {name} as a word, got something else")
    return word


def _flag(said: Mapping[str, Any], name: str) -> bool:
    value = said.get(name, False)
    if not isinstance(value, bool):
        raise malformed(f"expected the parameter {name} as true or false, got something else")
    return value


def _outputs(names: Sequence[str]) -> tuple[Output, ...]:
    if any(name not in OUTPUTS for name in names):
        raise malformed(f"expected outputs among {', '.join(OUTPUTS)}, got another one")
    return tuple(name for name in OUTPUTS if name in names) or DEFAULT_OUTPUTS
