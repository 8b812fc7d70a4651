"""Values that fit a configuration's schema, and edits of them: for every model of the package, without samples."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from tests.fuzz.mutation import changed, plain

_DEEPEST = 8
_WORDS = st.sampled_from(("a", "hospital-a", "x_1", "0" * 64, "2026-03-02T09:30:00Z", "", "\x00", "\ud800", "a b"))


def from_model(model: Any) -> st.SearchStrategy[Any]:
    """Values of a model as JSON has them, half of them with edits."""
    return st.deferred(lambda: _from_model(model))


@cache
def _from_model(model: Any) -> st.SearchStrategy[Any]:
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    schema = model.model_json_schema() if is_model else TypeAdapter(model).json_schema()
    fitting = _fitting(schema, schema.get("$defs", {}), 0)
    return st.one_of(fitting, _edited(fitting))


@st.composite
def _edited(draw: st.DrawFn, fitting: st.SearchStrategy[Any]) -> Any:
    value = draw(fitting)
    for _ in range(draw(st.integers(1, 3))):
        value = changed(draw, value)
    return plain(value)


def _fitting(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if depth > _DEEPEST or not schema or schema == {"additionalProperties": True, "type": "object"}:
        return st.sampled_from((None, {}, 1, "a"))
    if "$ref" in schema:
        return _fitting(known[schema["$ref"].rsplit("/", 1)[1]], known, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return st.one_of([_fitting(part, known, depth) for part in schema[choice]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    makers = {"object": _object, "array": _array, "string": _string, "integer": _number, "number": _number}
    kind = schema.get("type")
    if kind in makers:
        return makers[kind](schema, known, depth)
    return st.booleans() if kind == "boolean" else st.none() if kind == "null" else st.sampled_from((None, {}, 1, "a"))


def _object(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    parts = {key: _fitting(part, known, depth + 1) for key, part in schema.get("properties", {}).items()}
    needed = {key: parts.pop(key) for key in schema.get("required", ()) if key in parts}
    if needed or parts:
        return st.fixed_dictionaries(needed, optional=parts)
    keys = _string(schema.get("propertyNames", {}), known, depth)
    inner = schema.get("additionalProperties", {})
    return st.dictionaries(keys, _fitting(inner if isinstance(inner, dict) else {}, known, depth + 1), max_size=3)


def _array(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*[_fitting(part, known, depth + 1) for part in schema["prefixItems"]]).map(list)
    least = min(schema.get("minItems", 0), 50)
    most = min(schema.get("maxItems", least + 3), least + 3)
    return st.lists(_fitting(schema.get("items", {}), known, depth + 1), min_size=least, max_size=most)


def _string(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if schema.get("format") == "date-time":
        return st.sampled_from(("2026-03-02T09:30:00Z", "2026-03-02T09:30:00+14:00", "0001-01-01T00:00:00+23:59"))
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True).filter(lambda text: len(text) < 200)
    return _WORDS


def _number(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1000))
    high = schema.get("maximum", schema.get("exclusiveMaximum", max(low, 0) + 1000))
    if schema["type"] == "integer":
        return st.one_of(st.sampled_from((low, high)), st.integers(int(low), int(high)))
    return st.one_of(st.sampled_from((low, high, (low + high) / 2)), st.floats(float(low), float(high)))
