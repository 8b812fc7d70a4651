"""Renders what a viewer may see as one page, and nothing else: what is not in the sight is not in the page."""

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fedvoxel.ops.quarter.page import size
from fedvoxel.privacy.guarantee import rounded_up

if TYPE_CHECKING:
    from jinja2 import Template

STATES = {
    "training": "training",
    "replied": "has replied",
    "missing": "missing",
    "refused": "refused",
    "evaluation_only": "evaluates only",
    "waiting": "waiting",
    "not_selected": "not asked in this round",
}
_STATUS = {
    "finished": "finished",
    "stopped_early": "stopped early, as its job says",
    "failed": "failed",
    "aborted": "aborted",
    "unfinished": "not ended",
}
_AGREED = {
    "nothing": "You see your own hospital. As the consortium agreed, nothing of the other hospitals is shown.",
    "state": "You see your own hospital in full and, as the consortium agreed, what the others' sites are at, under "
    "names that hold until the page is started anew.",
    "everything": "You see every hospital in full.",
}


def render_status(seen: dict[str, Any]) -> str:
    """Returns the page.

    Args:
        seen: What `seen_by` returned.
    """
    words = {"states": STATES, "status": _STATUS, "agreed": _AGREED}
    return _template().render(seen=seen, size=size, lasts=lasts, moment=moment, rounded_up=rounded_up, **words)


def lasts(seconds: float) -> str:
    """Returns a time for people, in hours or minutes."""
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(said: str) -> str:
    """Returns a time of the facts for people, in the zone that it was said in."""
    return datetime.fromisoformat(said).strftime("%Y-%m-%d %H:%M %Z")


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    text = files("fedvoxel.ops.status").joinpath("page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )
