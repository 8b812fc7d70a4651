"""Dotted keys of a job, such as `training.optimizer.learning_rate`: which there are, and how one is set."""

import difflib
import json
from collections.abc import Iterator, Mapping, MutableMapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError

OPEN = ".*"
"""Ends a key under which any other key may follow."""


def known_keys(model: type[BaseModel]) -> frozenset[str]:
    """Returns every dotted key of a configuration; `arguments.*` stands for free keys below."""
    return frozenset(key for name, field in model.model_fields.items() for key in _keys(name, field.annotation))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Splits `key=value`; the value is JSON, or else a string.

    Raises:
        ConfigError: There is no `=`, or no key.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {text!r}: expected key=value, such as rounds.num_rounds=4")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def check_key(key: str, known: frozenset[str]) -> None:
    """Checks that a key can be set.

    Raises:
        ConfigError: It is unknown; the message names near ones.
    """
    parts = key.split(".")
    heads = {".".join(parts[:length]) for length in range(1, len(parts))}
    if key in known or any(head + OPEN in known for head in heads):
        return
    plain = sorted(name.removesuffix(OPEN) for name in known)
    close = difflib.get_close_matches(key, plain, n=3) or [name for name in plain if name.endswith("." + parts[-1])]
    tops = ", ".join(_tops(plain))
    hint = f"did you mean {' or '.join(close[:3])}?" if close else f"known are {tops} and what is in them"
    raise ConfigError(f"unknown key {key!r}; {hint}")


def set_value(values: MutableMapping[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key in nested mappings, which are made where they are missing."""
    *heads, last = key.split(".")
    for head in heads:
        inner = values.get(head)
        if not isinstance(inner, MutableMapping):
            inner = values[head] = {}
        values = inner
    values[last] = value


def _keys(prefix: str, annotation: Any) -> Iterator[str]:
    yield prefix
    for kind in _plain(annotation):
        if get_origin(kind) in (dict, Mapping):
            yield prefix + OPEN
        elif isinstance(kind, type) and issubclass(kind, FrozenModel):
            for name, field in kind.model_fields.items():
                yield from _keys(f"{prefix}.{name}", field.annotation)


def _plain(annotation: Any) -> Iterator[Any]:
    """Unpacks annotations and unions."""
    if get_origin(annotation) is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _plain(choice)
    else:
        yield annotation


def _tops(names: list[str]) -> list[str]:
    return sorted({name.split(".")[0] for name in names})
