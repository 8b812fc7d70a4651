"""Which sites gave no usable answer to a question, and why."""

from typing import Annotated

from pydantic import Field, StringConstraints

from fedvoxel.config import FrozenModel

MAX_REASON = 2000
"""Longest reason that an outcome holds, in characters."""

SiteName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON)]


class Absences(FrozenModel):
    """Says which sites gave no usable answer to one question, each with the reason: none came, or a wrong one."""

    missing: dict[SiteName, Reason] = Field(default_factory=dict)
    refused: dict[SiteName, Reason] = Field(default_factory=dict)

    def then(self, later: "Absences") -> "Absences":
        """Returns these and later ones; the first reason of a site stands."""
        return Absences(missing=later.missing | self.missing, refused=later.refused | self.refused)

    @property
    def said(self) -> dict[str, str]:
        """Is the word and the reason for each absent site: "missing: lost its connection"."""
        missing = {site: f"missing: {reason}" for site, reason in self.missing.items()}
        return missing | {site: f"refused: {reason}" for site, reason in self.refused.items()}
