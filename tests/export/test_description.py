"""A description says what is found, on what, and how images are prepared; what cannot be so is refused."""

from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.export.description import ModelDescription
from tests.export.package_sample import description_values, structure


def test_a_description_is_read_and_has_an_output_for_the_background_too() -> None:
    read = parse_config(ModelDescription, description_values(), "model.json")
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
        parse_config(ModelDescription, description_values(**changes), "model.json")


def test_a_range_that_is_upside_down_is_refused() -> None:
    wrong = description_values()
    wrong["input"]["spacing_mm"] = {"low": 2, "high": 1}
    with pytest.raises(ConfigError, match="low is greater"):
        parse_config(ModelDescription, wrong, "model.json")
