"""Renders an audit as one HTML file that needs nothing else: no script, no outside resource, the picture inside."""

import base64
from importlib.resources import files

from fedvoxel.evaluation.attacks.audit_lines import audit_lines, verdict
from fedvoxel.evaluation.attacks.findings import PrivacyAudit
from fedvoxel.evaluation.figures import Picture


def render_audit(audit: PrivacyAudit, picture: Picture | None) -> str:
    """Renders an audit with its picture as HTML; everything that came from a job is escaped."""
    from jinja2 import Environment, StrictUndefined

    folder = files("fedvoxel.evaluation")
    template = folder.joinpath("attacks", "audit_template.html").read_text(encoding="utf-8")
    report = folder.joinpath("report_template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        audit=audit,
        lines=audit_lines(audit),
        verdict=verdict(audit),
        seconds=_seconds(audit),
        # One look for all pages of a result.
        style=report.split("<style>")[1].split("</style>")[0],
        picture=picture,
        data=base64.b64encode(picture.png).decode("ascii") if picture else "",
    )


def _seconds(audit: PrivacyAudit) -> list[tuple[str, str]]:
    named = (("membership", audit.membership), ("canaries", audit.canaries), ("inversion", audit.inversion))
    return [(name, f"{part.seconds:.0f}") for name, part in named if part is not None]
