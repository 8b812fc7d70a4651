"""Which sites of a run are not in the present attempt at it, or not asked in a round, and why."""

from collections.abc import Collection, Mapping
from pathlib import Path

from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.selection import NOT_CONNECTED
from fedvoxel.governance.incidents.kept_out import kept_out

NOT_HERE = "not in this attempt at the run: it was not connected when the attempt began, or did not take the job"
"""Why a site of the run is missing from every round of an attempt; the attempt ends once one connects."""


def reasons_of(gone: Collection[str], state: Path) -> dict[str, str]:
    """Returns the reason for each of the sites that no message of this attempt reaches.

    Args:
        gone: The sites.
        state: The server's `state/` folder.
    """
    out = kept_out(state) if gone else {}
    return {site: out.get(site, NOT_HERE) for site in sorted(gone)}


def note_left_out(notes: RoundNotes, left_out: Mapping[str, str], state: Path) -> None:
    """Notes who is not asked in a round: one that may take no part is missing, and one that is only away is silent.

    Args:
        notes: Those of the round.
        left_out: Who is left out, with the reason.
        state: The server's `state/` folder.
    """
    out = kept_out(state) if left_out else {}
    notes.not_selected = {site: why for site, why in left_out.items() if site not in out}
    notes.miss({site: out[site] for site in left_out if site in out})
    notes.silent |= {site for site, why in notes.not_selected.items() if why == NOT_CONNECTED}
