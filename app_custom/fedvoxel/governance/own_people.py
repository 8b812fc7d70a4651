"""Whose word counts at a hospital: that of a person whose certificate names it."""

from fedvoxel.export.trust import Signer
from fedvoxel.governance.kit import Kit


def objection_to(kit: Kit, signer: Signer) -> str | None:
    """Returns why somebody's word does not count at a site; None where it does."""
    if signer.role is None:
        return f"{signer.name} is a site: a person decides, with a kit of their own"
    if not signer.organisation or signer.organisation != kit.organisation:
        whose = signer.organisation or "no organisation"
        return f"{signer.name} is of {whose}: people of {kit.organisation} decide what this site takes"
    return None
