"""Renders a page that asks for nothing outside itself, and whose content cannot make it do so.

Its content security policy is in the page: no address can be asked for, pictures only from the page's own text, and
only the style and the script of this package, known by their hashes, count. Values are escaped by the template engine.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any


def render_page(
    template: str,
    script: str | None = None,
    *,
    room: str = "evaluation/cohorts",
    own_style: str | None = None,
    **values: Any,
) -> str:
    """Renders a template of this package as HTML.

    Args:
        template: The template's file.
        script: The script's file, or None for a page without any.
        room: The folder of the package that template, script and own style lie in.
        own_style: A file with rules beside those that all pages share, or None.
        values: What the template shows; escaped.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style = _part("evaluation/cohorts", "page_style.html") + (_part(room, own_style) if own_style else "")
    code = _part(room, script) if script else ""
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    return environment.from_string(_part(room, template)).render(
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(code),  # noqa: S704 - a file of this package
        policy=Markup(f"{policy}; script-src {_hash(code)}" if code else policy),  # noqa: S704 - made of hashes
        **values,
    )


def _part(room: str, name: str) -> str:
    return files("fedvoxel").joinpath(room, name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
