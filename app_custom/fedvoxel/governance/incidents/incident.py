"""An incident as it stands: all that people have said about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from fedvoxel.governance.incidents.statement import IncidentStatement


@dataclass(frozen=True)
class Said:
    """Is one statement, with who signed it.

    Attributes:
        counts: Whether the signer's certificate counts; one of a root that was dropped since does not any more.
    """

    statement: IncidentStatement
    by: str
    at: str
    counts: bool


@dataclass(frozen=True)
class Incident:
    """Is all that was said about one incident, in order; the first declares it."""

    said: tuple[Said, ...]

    @property
    def name(self) -> str:
        """Is its name."""
        return self.said[0].statement.incident

    @property
    def is_open(self) -> bool:
        """Says whether it is not over."""
        return all(one.statement.word != "closed" for one in self.said)

    @property
    def severity(self) -> str:
        """Is how bad it is, as was said last."""
        return next(one.statement.severity for one in reversed(self.said) if one.statement.severity)

    @property
    def halts(self) -> bool:
        """Says whether it has stopped all jobs, and they are not let run again."""
        words = [one.statement.word for one in self.said if one.statement.word in ("halted", "lifted")]
        return words[-1:] == ["halted"]

    @property
    def keeps_out(self) -> frozenset[str]:
        """Are the sites that it keeps out."""
        out: set[str] = set()
        for one in self.said:
            if one.statement.word == "quarantined":
                out.add(one.statement.site)
            elif one.statement.word == "released":
                out.discard(one.statement.site)
        return frozenset(out)


def kept_out(incidents: Iterable[Incident]) -> frozenset[str]:
    """Returns the sites that any of some incidents keeps out."""
    return frozenset(site for one in incidents for site in one.keeps_out)
