"""A description says what is found, on what, and how images are prepared; what cannot be so is refused."""

from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.export.description import ModelDescription

ANATOMY = {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"}
HIPPOCAMPUS = {"scheme": "SCT", "value": "5366008", "meaning": "Hippocampus"}


def structure(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": f"{name} hippocampus",
        "category": ANATOMY,
        "type": HIPPOCAMPUS,
        "colour_rgb": [230, 159, 0],
    } | changes


def description(**changes: Any) -> dict[str, Any]:
    return {
        "name": "hippocampus",
        "version": "1.0.0",
        "title": "Hippocampus",
        "intended_use": "Research on volumes of the hippocampus.",
        "limitations": "Crops of one hospital only.",
        "structures": [structure("anterior"), structure("posterior")],
        "input": {
            "modalities": ["MR"],
            "body_parts": ["HEAD", "BRAIN"],
            "spacing_mm": {"low": 0.8, "high": 1.2},
            "extent_mm": {"low": 20, "high": 70},
        },
        "plan": {},
        "inference": {"roi_size": [40, 56, 40]},
    } | changes


def test_a_description_is_read_and_has_an_output_for_the_background_too() -> None:
    read = parse_config(ModelDescription, description(), "model.json")
    assert read.channels == 3 and read.plan.orientation == "RAS"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Hippo campus"},
        {"version": "1.0"},
        {"structures": []},
        {"structures": [structure("anterior"), structure("anterior", label="other")]},
        {"structures": [structure("anterior", label="part"), structure("posterior", label="part")]},
        {"structures": [structure("anterior", label="back\\slash")]},
        {"structures": [structure("anterior", colour_rgb=[0, 0, 256])]},
        {"script": "import os"},
        {"schema_version": 2},
    ],
)
def test_what_cannot_be_so_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse_config(ModelDescription, description(**changes), "model.json")


def test_a_range_that_is_upside_down_is_refused() -> None:
    wrong = description()
    wrong["input"]["spacing_mm"] = {"low": 2, "high": 1}
    with pytest.raises(ConfigError, match="low is greater"):
        parse_config(ModelDescription, wrong, "model.json")
