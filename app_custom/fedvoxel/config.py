"""Frozen, strict configuration: unknown keys, NaN and infinities are refused, and the error names the key."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fedvoxel.errors import ConfigError
from fedvoxel.formats import current, name_of
from fedvoxel.plain_file import read_plain


class FrozenModel(BaseModel):
    """Is the base of every configuration: immutable, without unknown keys, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


ModelT = TypeVar("ModelT", bound=BaseModel)


def parse_config(model: type[ModelT], values: Any, what: str) -> ModelT:
    """Validates `values` as `model`.

    Args:
        model: The configuration's class.
        values: A JSON-like mapping.
        what: What the mapping is, for the error ("the job's training section").

    Raises:
        ConfigError: One line per wrong key: the key, what was expected, what came.
        VersionError: They were written in a version that this release does not read.
    """
    values = current(name_of(model), values, what)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors()]
        raise ConfigError(f"{what} is not valid: " + "; ".join(lines)) from None


def load_json_config(model: type[ModelT], path: Path, what: str) -> ModelT:
    """Reads and validates a JSON file.

    Raises:
        ConfigError: The file is missing, is not JSON, or does not fit `model`.
    """
    return parse_config(model, read_json(path, what), what)


def read_json(path: Path, what: str) -> Any:
    """Reads a JSON file, refusing NaN and infinities.

    Raises:
        ConfigError: The file is missing, unreadable, or not JSON; the message names `what`, not the content.
    """
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise ConfigError(f"{what} is missing: expected a file {path.name} in {path.parent}") from None
    except OSError as error:
        raise ConfigError(f"{what} ({path.name}) cannot be read: {error.strerror or type(error).__name__}") from None
    return json_of(content, f"{what} ({path.name})")


def json_of(content: bytes, what: str) -> Any:
    """Returns what JSON says, refusing NaN and infinities.

    Raises:
        ConfigError: It is none; the message names `what`, not the content.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ConfigError(f"{what} cannot be read as JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{what} cannot be read as JSON: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _describe(item: Any) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    # What stands under a key that nobody knows may be anything, a password too.
    came = "" if item["type"] == "extra_forbidden" else f" (got {_shown(item.get('input'))})"
    return f"{key}: {item['msg']}{came}"


def _shown(came: Any) -> str:
    """Returns what came, a whole section by its keys only: a value in it may be a patient's or a secret."""
    if isinstance(came, dict):
        text = "keys " + ", ".join(map(str, came)) if came else "no keys"
    else:
        text = f"a list of {len(came)}" if isinstance(came, list | tuple) else repr(came)
    return text if len(text) <= 60 else text[:57] + "..."
