"""Whether the filters that a site's privacy policy names exist and are FLARE filters, found without running a job.

FLARE accepts a policy with unknown classes when a site starts, and ends the first job for every site when it builds
them.
"""

import inspect
from typing import Any

from fedvoxel.governance.finding import Finding, error


def check_filter_classes(filters: list[dict[str, Any]]) -> list[Finding]:
    """Imports each filter's class and checks its kind and the names of its arguments; builds none of them."""
    return [finding for entry in filters if (finding := _check(entry)) is not None]


def _check(entry: dict[str, Any]) -> Finding | None:
    from nvflare.apis.filter import Filter
    from nvflare.fuel.utils.class_loader import load_class

    path = str(entry.get("path"))
    where = f"local/privacy.json: filter {path}"
    try:
        found = load_class(path)
    except TypeError:
        return error("policy", f"{where} does not exist here; correct its path or install the package that has it")
    if not inspect.isclass(found) or not issubclass(found, Filter):
        return error("policy", f"{where} is not a FLARE Filter; every job would end with an error, remove it")
    try:
        inspect.signature(found).bind(**(entry.get("args") or {}))
    except TypeError as problem:
        return error("policy", f"{where} cannot be built with its args ({problem}); correct them")
    return None
