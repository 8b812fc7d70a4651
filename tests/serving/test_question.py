"""What a request may hold, and that anything else is refused and not passed over."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import PredictionError
from fedvoxel.serving.question import MOST_IMAGES, Tensor, question_of
from tests.serving.asked import AFFINE, affine_tensor, codes_of, image_of, image_tensor

IMAGE = image_of(codes_of())
TOO_MANY = np.zeros((MOST_IMAGES + 1, 2, 2, 2), np.float32)
TEXT = ",".join(map(repr, AFFINE.ravel().tolist()))


def test_an_image_and_its_affine_are_a_question() -> None:
    asked = question_of([image_tensor(IMAGE), affine_tensor()], {}, ())
    assert asked.images.shape == (1, *IMAGE.shape) and not asked.is_batch
    np.testing.assert_array_equal(asked.images[0], IMAGE)
    np.testing.assert_array_equal(asked.affines, AFFINE[np.newaxis])
    assert (asked.modality, asked.body_part, asked.quick) == (None, None, False)
    assert asked.outputs == ("label", "volumes_ml")


def test_the_voxels_are_not_copied() -> None:
    assert np.shares_memory(question_of([image_tensor(IMAGE), affine_tensor()], {}, ()).images, IMAGE)


@pytest.mark.parametrize("beside", ["request", "image"])
def test_what_is_known_of_an_image_is_a_parameter(beside: str) -> None:
    said = {"affine": TEXT, "modality": "MR", "body_part": "BRAIN", "quick": True, "binary_data_output": True}
    of_image, of_request = (said, {}) if beside == "image" else ({"binary_data_size": 4}, said)
    asked = question_of([image_tensor(IMAGE, **of_image)], of_request, ["entropy", "label"])
    np.testing.assert_array_equal(asked.affines[0], AFFINE)
    assert (asked.modality, asked.body_part, asked.quick) == ("MR", "BRAIN", True)
    assert asked.outputs == ("label", "entropy")


@pytest.mark.parametrize("affines", [AFFINE, np.stack([AFFINE, 2 * AFFINE])])
def test_several_images_share_an_affine_or_have_one_each(affines: np.ndarray[Any, Any]) -> None:
    asked = question_of([image_tensor(np.stack([IMAGE, IMAGE])), affine_tensor(affines)], {}, ())
    assert asked.is_batch and asked.affines.shape == (2, 4, 4)
    np.testing.assert_array_equal(asked.affines[1], affines if affines.ndim == 2 else affines[1])


@pytest.mark.parametrize(
    ("tensors", "parameters", "outputs", "said"),
    [
        ([affine_tensor()], {}, (), "expected the inputs 'image'"),
        ([image_tensor(IMAGE), image_tensor(IMAGE)], {"affine": TEXT}, (), "each once"),
        ([image_tensor(IMAGE), affine_tensor(), Tensor("mask", "UINT8", IMAGE, {})], {}, (), "got 3 inputs"),
        ([image_tensor(IMAGE)], {}, (), "expected 'affine' once"),
        ([image_tensor(IMAGE), affine_tensor()], {"affine": TEXT}, (), "expected 'affine' once"),
        ([image_tensor(IMAGE.astype(np.float64), "FP64"), affine_tensor()], {}, (), "'image' as FP32"),
        ([image_tensor(IMAGE.astype(np.float64)), affine_tensor()], {}, (), "'image' as FP32"),
        ([image_tensor(IMAGE[0]), affine_tensor()], {}, (), "got 2 axes"),
        ([image_tensor(IMAGE[:0]), affine_tensor()], {}, (), "'image' as X, Y, Z"),
        (
            [image_tensor(TOO_MANY), affine_tensor()],
            {},
            (),
            "at most 64 images",
        ),
        ([image_tensor(IMAGE), affine_tensor(AFFINE[:3])], {}, (), "as 4, 4"),
        ([image_tensor(IMAGE), affine_tensor(np.stack([AFFINE] * 2))], {}, (), "as 4, 4"),
        ([image_tensor(IMAGE), affine_tensor(AFFINE, "INT64")], {}, (), "FP64 or FP32"),
        ([image_tensor(IMAGE)], {"affine": "1,2,3"}, (), "16 numbers"),
        ([image_tensor(IMAGE)], {"affine": 7}, (), "16 numbers"),
        ([image_tensor(IMAGE), affine_tensor()], {"modalty": "MR"}, (), "got another one"),
        ([image_tensor(IMAGE, modality="CT"), affine_tensor()], {"modality": "MR"}, (), "given twice"),
        ([image_tensor(IMAGE), affine_tensor()], {"modality": 5}, (), "modality as a word"),
        ([image_tensor(IMAGE), affine_tensor()], {"body_part": "B" * 65}, (), "body_part as a word"),
        ([image_tensor(IMAGE), affine_tensor()], {"quick": "yes"}, (), "quick as true or false"),
        ([image_tensor(IMAGE), affine_tensor()], {}, ["label", "logits"], "expected outputs among"),
    ],
)
def test_anything_else_is_refused(tensors: Any, parameters: Any, outputs: Any, said: str) -> None:
    with pytest.raises(PredictionError, match=said) as refused:
        question_of(tensors, parameters, outputs)
    assert refused.value.reason == "malformed_request" and "docs/serving.md" in str(refused.value)
    assert "modalty" not in str(refused.value) and "\n" not in str(refused.value)
