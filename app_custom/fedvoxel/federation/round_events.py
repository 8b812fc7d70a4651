"""The audit's events of the sites whose answer counted in a round, and of those that were not asked."""

from collections.abc import Callable

from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.records.audit_event import AuditEvent, HashName


def taken_events(event: Callable[..., AuditEvent], notes: RoundNotes) -> list[AuditEvent]:
    """Returns an event for each site that contributed, only evaluated, or was not selected.

    Args:
        event: Makes an event of the round from the other values.
        notes: What is noted of the round.
    """
    taken = [
        event(outcome="done", site=site, hashes=_hashes(notes, site), reason=_filter(notes, site))
        for site in sorted({*notes.contributed, *notes.evaluation_only})
    ]
    return taken + [
        event(outcome="not_selected", site=site, reason=why) for site, why in sorted(notes.not_selected.items())
    ]


def _hashes(notes: RoundNotes, site: str) -> dict[HashName, str]:
    return {"update": notes.update_hashes[site]} if site in notes.update_hashes else {}


def _filter(notes: RoundNotes, site: str) -> str:
    """Returns what a filter of the job did to the update after the site's own filter had let it leave."""
    note = notes.filters.get(site)
    return f"filtered by the job: {note}" if note else ""
