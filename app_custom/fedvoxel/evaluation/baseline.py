"""Reads what a run is compared with: a hospital's own local-only model, or one trained on all data in one place.

A baseline file holds scores of single cases (by pseudonym), so that the comparison can be paired. It stays where it
was made; the report takes only means and intervals from it.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.federation.absences import SiteName
from fedvoxel.federation.outcome import ClassName, Dice
from fedvoxel.updates.scores import CaseScore

BaselineKind = Literal["local", "pooled"]


class CaseRecord(FrozenModel):
    """Holds one case's scores as a baseline file does; see `CaseScore`."""

    case: str
    dice: dict[ClassName, Dice | None]
    hd95_mm: dict[ClassName, NonNegativeFloat | None]

    def score(self) -> CaseScore:
        """Returns the case's scores as a value."""
        return CaseScore(self.case, dict(self.dice), dict(self.hd95_mm))


class Baseline(FrozenModel):
    """Holds the scores of a comparison model, and of the federated model on the same cases.

    Attributes:
        kind: "local": trained by one site on its own cases; "pooled": trained on all sites' cases in one place.
        site: The training site of a local model; None for a pooled one.
        epochs: Passes over the training cases.
        seed: Seed of the training.
        per_site: The comparison model's scores of each site's unseen cases.
        federated_per_site: The federated model's scores of the same cases.
        seconds: Wall time of the training.
    """

    schema_version: Literal[1] = 1
    kind: BaselineKind
    site: SiteName | None = None
    epochs: PositiveInt
    seed: NonNegativeInt
    per_site: dict[SiteName, tuple[CaseRecord, ...]]
    federated_per_site: dict[SiteName, tuple[CaseRecord, ...]] = Field(default_factory=dict)
    seconds: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _site_fits_kind(self) -> Self:
        if (self.kind == "local") != (self.site is not None):
            raise ValueError("a local baseline names its site, a pooled one names none")
        if self.site is not None and self.site not in self.per_site:
            raise ValueError(f"the local baseline of {self.site} holds no scores of {self.site}")
        for scores in (*self.per_site.values(), *self.federated_per_site.values()):
            if len({record.case for record in scores}) != len(scores):
                raise ValueError("a case appears twice in one site")
        return self

    def scores(self, site: str) -> tuple[CaseScore, ...]:
        """Returns the comparison model's scores of `site`'s cases; empty where it was not tried there."""
        return tuple(record.score() for record in self.per_site.get(site, ()))

    def federated_scores(self, site: str) -> tuple[CaseScore, ...]:
        """Returns the federated model's scores of the same cases; empty where it was not tried."""
        return tuple(record.score() for record in self.federated_per_site.get(site, ()))

    def judged_sites(self) -> tuple[str, ...]:
        """Returns the sites that this baseline is a comparison for: a local model only for its own site."""
        return tuple(self.per_site) if self.site is None else (self.site,)


def load_baseline(path: Path) -> Baseline:
    """Reads a baseline file.

    Raises:
        ConfigError: The file is missing, is not JSON, or is no baseline.
    """
    return load_json_config(Baseline, path, f"the baseline {path.name}")
