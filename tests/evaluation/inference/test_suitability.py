"""What cannot be right is refused; what may be brings a remark."""

import numpy as np
import pytest

from fedvoxel.errors import PredictionError
from fedvoxel.evaluation.inference.suitability import ImageFacts, is_within, known_body_part, remarks_on
from fedvoxel.export.description import Range
from tests.export.package_sample import sample_description

INPUT = sample_description().input


def facts(modality: str | None = "MR", body_part: str | None = "BRAIN", spacing: float = 1.0) -> ImageFacts:
    return ImageFacts.of(modality, body_part, (40, 50, 35), np.diag([spacing, 1.0, 1.0, 1.0]))


def test_an_image_as_the_model_was_made_for_brings_no_remark() -> None:
    assert remarks_on(facts(), INPUT) == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [(facts("CT"), "wrong_modality"), (facts(body_part="PROSTATE"), "wrong_body_part")],
)
def test_an_image_of_another_kind_is_refused(wrong: ImageFacts, reason: str) -> None:
    with pytest.raises(PredictionError) as caught:
        remarks_on(wrong, INPUT)
    assert caught.value.reason == reason and caught.value.exit_code == 18


def test_a_modality_that_is_no_word_is_not_repeated() -> None:
    with pytest.raises(PredictionError) as caught:
        remarks_on(facts("JOHN DOE"), INPUT)
    assert "JOHN" not in str(caught.value)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (facts(body_part=None), "names no body part"),
        (facts(None), "does not say its modality"),
        (facts(spacing=1.4), "Voxels of 1.4 x 1 x 1 mm; the model was made for 0.8 to 1.2 mm"),
        (facts(spacing=0.1), "Image of 4 x 50 x 35 mm"),
    ],
)
def test_what_may_be_wrong_is_said(odd: ImageFacts, said: str) -> None:
    assert any(said in remark for remark in remarks_on(odd, INPUT))


@pytest.mark.parametrize(
    ("text", "known"),
    [("brain", "BRAIN"), ("C SPINE", "CSPINE"), ("", None), (None, None), ("HAND OF MRS X", None), ("WHOLEBODY", None)],
)
def test_only_words_of_the_standard_prove_a_body_part(text: str | None, known: str | None) -> None:
    assert known_body_part(text) == known


def test_a_thousandth_is_no_difference() -> None:
    one = Range(low=1.0, high=1.0)
    assert is_within((0.9995, 1.0005), one) and not is_within((1.0, 1.002), one)
