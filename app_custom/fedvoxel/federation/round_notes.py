"""What is noted of one round while it is open: what came, from whom, and who gave no usable answer and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from fedvoxel.errors import UpdateError
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.contribution_config import RoundContribution
from fedvoxel.federation.outcome import FilterNote

_NOTE: TypeAdapter[str] = TypeAdapter(FilterNote)


def read_filter_note(value: object) -> str | None:
    """Returns what a filter of the job says that it did to an update; None where none has said anything.

    Raises:
        UpdateError: It is no short line of text.
    """
    try:
        return None if value is None else _NOTE.validate_python(value, strict=True)
    except ValidationError:
        raise UpdateError("expected a short line of text as the filter's note") from None


@dataclass
class RoundNotes:
    """Gathers the replies of one round while it is open, and what became of who gave none.

    Attributes:
        seconds: Wall time of the round, without what `contribution` took.
        afterwards: Who was missing or refused after its update had gone into a sum of secure aggregation.
        public: Sites whose own filter said, with what they replied, that their cases are declared public.
        filters: What a filter of the job said that it did to a site's update.
        update_hashes: Of each accepted update as it was received, see `updates.array_hash`.
        slow: What is to be said of sites whose reply took unusually long.
        silent: Those of the missing of whom nothing came, and who may answer another time.
    """

    seconds: float = 0.0
    contributed: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    afterwards: Absences = field(default_factory=Absences)
    unscored: Absences = field(default_factory=Absences)
    evaluation_only: list[str] = field(default_factory=list)
    loss: dict[str, float] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    secure_bytes_up: int = 0
    secure_bytes_down: int = 0
    contribution_bytes_down: int = 0
    public: set[str] = field(default_factory=set)
    filters: dict[str, str] = field(default_factory=dict)
    update_hashes: dict[str, str] = field(default_factory=dict)
    codecs: dict[Literal["up", "down"], str] = field(default_factory=dict)
    not_selected: dict[str, str] = field(default_factory=dict)
    slow: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    contribution: RoundContribution | None = None

    @property
    def answered(self) -> set[str]:
        """Are the sites whose reply was taken, with or without an update."""
        return {*self.contributed, *self.evaluation_only}

    @property
    def reasons(self) -> str:
        """Are all who gave no usable answer, each with the reason, in one line."""
        absent = self.afterwards.missing | self.afterwards.refused | self.missing | self.refused
        return "; ".join(f"{site}: {reason}" for site, reason in absent.items())

    def refuse(self, site: str, reason: str) -> None:
        """Notes an answer that was not taken."""
        if site in self.contributed:
            self.afterwards = self.afterwards.then(Absences(refused={site: reason}))
        else:
            self.refused[site] = reason

    def may_pass(self, sites: Collection[str], needed: int) -> bool:
        """Says of a round that lacks updates whether it need not another time, since silent sites may answer then.

        Args:
            sites: All sites of the run.
            needed: How many a round needs.
        """
        missing, refused = self.missing | self.afterwards.missing, self.refused | self.afterwards.refused
        lost = {*refused, *self.evaluation_only, *(missing.keys() - self.silent)}
        return not self.silent <= lost and len(set(sites) - lost) >= needed

    def miss(self, reasons: Mapping[str, str], silent: Collection[str] = ()) -> None:
        """Notes sites that gave no answer; of those that are silent nothing came, and something may another time."""
        self.silent.update(silent)
        later = {site: reason for site, reason in reasons.items() if site in self.contributed}
        self.afterwards = self.afterwards.then(Absences(missing=later))
        self.missing |= {site: reason for site, reason in reasons.items() if site not in later}
