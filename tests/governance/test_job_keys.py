"""Dotted keys: which there are, how an unknown one is answered, how a value is read and set."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.governance.job_keys import check_key, known_keys, parse_assignment, set_value


class _Whole(FrozenModel):
    kind: Literal["whole"]
    size: int = 1


class _Patch(FrozenModel):
    kind: Literal["patch"]
    count: int = 1


class _Part(FrozenModel):
    arguments: dict[str, Any]
    rate: float | None = None


class _Job(FrozenModel):
    name: str
    part: _Part | None = None
    sampling: Annotated[_Whole | _Patch, Field(discriminator="kind")]


def test_keys_go_through_unions_options_and_free_mappings() -> None:
    assert known_keys(_Job) == {
        "name", "part", "part.arguments", "part.arguments.*", "part.rate",
        "sampling", "sampling.kind", "sampling.size", "sampling.count",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["name", "part", "part.rate", "part.arguments.any.thing", "sampling.count"])
def test_a_known_key_passes(key: str) -> None:
    check_key(key, known_keys(_Job))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("part.rte", r"unknown key 'part.rte'; did you mean part.rate"),
        ("count", "did you mean sampling.count"),
        ("zzz", "known are name, part, sampling and what is in them"),
        ("name.first", "unknown key 'name.first'"),
    ],
)
def test_an_unknown_key_is_answered_with_near_ones(key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        check_key(key, known_keys(_Job))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("rounds=4", "rounds", 4),
        ("a.b=[1, 2]", "a.b", [1, 2]),
        ("name=four hospitals", "name", "four hospitals"),
        ('name="4"', "name", "4"),
        ("x=null", "x", None),
        ("x=a=b", "x", "a=b"),
        ("x=", "x", ""),
    ],
)
def test_a_value_is_json_or_else_text(text: str, key: str, value: Any) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize("text", ["rounds", "=4", " =4"])
def test_an_assignment_needs_key_and_equals_sign(text: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_assignment(text)


def test_setting_makes_the_way_and_keeps_the_rest() -> None:
    values: dict[str, Any] = {"a": {"x": 1}, "b": None}
    set_value(values, "a.y", 2)
    set_value(values, "b.c.d", 3)
    assert values == {"a": {"x": 1, "y": 2}, "b": {"c": {"d": 3}}}


def test_a_value_nested_without_end_is_text() -> None:
    assert parse_assignment("name=" + "[" * 100_000) == ("name", "[" * 100_000)
