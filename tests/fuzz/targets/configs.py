"""Every frozen model of the package, as a file would give it: a configuration, a message or a record."""

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import Field

import fedvoxel
from fedvoxel.config import FrozenModel, load_json_config, parse_config
from fedvoxel.errors import ConfigError
from tests.fuzz.mutation import mutated_bytes, mutated_text
from tests.fuzz.schema import from_model
from tests.fuzz.target import Target


def _models() -> tuple[type[FrozenModel], ...]:
    for module in pkgutil.walk_packages(fedvoxel.__path__, "fedvoxel."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if missing.name not in ("flwr", "grpc", "kserve"):  # the extras `flower` and `serve`: no model in these
                raise
    found, waiting = set(), [FrozenModel]
    while waiting:
        model = waiting.pop()
        found.add(model)
        waiting += model.__subclasses__()
    ours = {model for model in found if model.__module__.startswith("fedvoxel.")} - {FrozenModel}
    return tuple(sorted(ours, key=lambda model: (model.__module__, model.__qualname__)))


MODELS = _models()


@st.composite
def _values(draw: st.DrawFn) -> tuple[type[FrozenModel], Any]:
    model = draw(st.sampled_from(MODELS))
    return model, draw(from_model(model))


def _parse(case: tuple[type[FrozenModel], Any], folder: Path) -> None:
    """What was taken has to come back from its own JSON."""
    model, values = case
    read = parse_config(model, values, "the file")
    said = read.model_dump(mode="json")
    json.dumps(said, allow_nan=False).encode()
    parse_config(model, json.loads(json.dumps(said)), "the file")


class _Nested(FrozenModel):
    name: str = "x"
    inner: dict[str, Any] = Field(default_factory=dict)
    numbers: tuple[float, ...] = ()


_FILES = ({"name": "a", "inner": {"b": [1, {"c": None}]}, "numbers": [1.5, 2]}, {}, {"numbers": []})
_TEXTS = tuple(json.dumps(value).encode() for value in _FILES)


def _load(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    load_json_config(_Nested, folder / "config.json", "the file")


TARGETS = (
    Target("models", "configs", _values(), _parse, (ConfigError,)),
    Target("json", "configs", st.one_of(mutated_text(_FILES), mutated_bytes(_TEXTS)), _load, (ConfigError,), _TEXTS),
)
