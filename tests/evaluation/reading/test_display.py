"""Windows, pictures, and the order and letters of a blinded reading."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fedvoxel.evaluation.reading.blinding import letters_of, reading_order
from fedvoxel.evaluation.reading.slice_picture import grey_png, heat_png
from fedvoxel.evaluation.reading.windows import WindowPreset, presets_for


def test_a_ct_is_known_by_its_air_and_others_have_their_own_windows() -> None:
    random = np.random.default_rng(0)
    voxels = random.normal(40, 20, (20, 20, 20)).astype(np.float32)
    assert presets_for(voxels, "CT")[0].name == "Soft tissue"
    assert presets_for(voxels, None)[0].name == "Standard"
    assert presets_for(voxels, "MR")[0].name == "Standard"
    voxels[:5] = -1000
    assert presets_for(voxels, None)[0].name == "Soft tissue"
    assert presets_for(voxels, "MR")[0].low == -1000
    for preset in presets_for(np.array([[[0, 0], [0, 1e-3]]], dtype=np.float32), "MR"):
        assert preset.low < preset.high


def test_a_window_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="low below high"):
        WindowPreset(name="own", low=1.0, high=1.0)


def test_a_grey_picture_shows_the_window() -> None:
    cut = np.array([[-5.0, 0.0, 50.0], [100.0, 150.0, 1e9]], dtype=np.float32)
    picture = Image.open(io.BytesIO(grey_png(cut, WindowPreset(name="own", low=0.0, high=100.0))))
    assert (picture.mode, picture.size) == ("L", (3, 2))
    assert np.asarray(picture).tolist() == [[0, 0, 128], [255, 255, 255]]


def test_a_heat_map_is_clear_where_the_model_is_sure() -> None:
    picture = np.asarray(Image.open(io.BytesIO(heat_png(np.array([[0.0, 0.1, 0.5, 1.0]], dtype=np.float32)))))
    opacity = picture[0, :, 3].tolist()
    assert opacity[0] == 0 and opacity == sorted(opacity) and opacity[-1] == 255


def test_orders_and_letters_are_the_seeds() -> None:
    cases = [f"case-{number}" for number in range(200)]
    order = reading_order(cases, 7, "anna")
    assert order == reading_order(list(reversed(cases)), 7, "anna")
    assert sorted(order) == sorted(cases) and order != tuple(cases)
    assert order != reading_order(cases, 7, "ben") != reading_order(cases, 8, "ben")
    letters = [letters_of(("model", "manual"), 7, case) for case in cases]
    assert all(sorted(found.values()) == ["manual", "model"] and list(found) == ["A", "B"] for found in letters)
    assert 70 < Counter(found["A"] for found in letters)["model"] < 130
