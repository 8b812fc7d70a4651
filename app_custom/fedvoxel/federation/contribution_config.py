"""How a run finds out what each site contributed (a method, who scores, how often), and what it finds."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError


class ContributionConfig(FrozenModel):
    """Configures the contribution of each site to a round.

    The server keeps a round's updates until it is closed, and has models of some of the sites scored.

    Attributes:
        method: `agreement` scores nothing; `leave_one_out` scores n + 1 models a round, `shapley` 2^n, `gtg_shapley` as
            many as it needs.
        evaluators: Sites whose validation cases score the models, such as one with public data; null asks all.
        every: Rounds from one to the next that is looked at.
        tolerance: Change of mean Dice that `gtg_shapley` takes for none.
        seed: Of the permutations that `gtg_shapley` draws.
    """

    method: Literal["agreement", "leave_one_out", "shapley", "gtg_shapley"] = "leave_one_out"
    evaluators: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    every: int = Field(default=1, ge=1, le=10_000)
    tolerance: float = Field(default=0.005, gt=0, le=1)
    seed: int = Field(default=1, ge=0, lt=2**32)

    def scored_by(self, sites: Sequence[str]) -> list[str]:
        """Returns the sites of a run that score its models.

        Raises:
            ConfigError: An evaluator is not in the run.
        """
        strangers = sorted(set(self.evaluators or ()) - set(sites))
        if strangers:
            raise ConfigError(
                f"contribution.evaluators: {', '.join(strangers)} is not in this run (sites: {', '.join(sites)})"
            )
        return list(self.evaluators or sites)


Cosine = Annotated[float, Field(ge=-1, le=1)]


class Resemblance(FrozenModel):
    """Says how a round's updates resemble one another and the step before; see `federation.resemblance`.

    Attributes:
        norms: Euclidean length of each site's update.
        pairs: Cosine of each pair, under the name that comes first; empty where there are too many sites, and 0 for an
            update of zeros.
        last_step: Cosine of each with the last global step; empty in the first round.
        paths: Cosine of each pair's directions added up over the rounds until this one, as in `pairs`: the luck of a
            round is another in the next, and what comes from the cases is the same.
    """

    norms: dict[str, NonNegativeFloat]
    pairs: dict[str, dict[str, Cosine]] = Field(default_factory=dict)
    last_step: dict[str, Cosine] = Field(default_factory=dict)
    paths: dict[str, dict[str, Cosine]] = Field(default_factory=dict)


class RoundContribution(FrozenModel):
    """Says what each site's update was worth in one round.

    Attributes:
        method: How it was found out.
        values: By site: a change of mean Dice, or with "agreement" a cosine.
        errors: Standard error of each over what was drawn; see `federation.contribution.Estimate`.
        without: By how much mean Dice is worse without each site, whatever the method; empty where nothing was scored,
            or in outcomes of before this was noted.
        resemblance: How the updates resemble one another; None in outcomes of before this was noted.
        evaluations: Models that were scored for it.
        seconds: Time that it took.
        bytes_down: Bytes of the models that were sent to be scored.
    """

    method: str
    values: dict[str, float]
    errors: dict[str, NonNegativeFloat]
    without: dict[str, float] = Field(default_factory=dict)
    resemblance: Resemblance | None = None
    evaluations: NonNegativeInt
    seconds: NonNegativeFloat
    bytes_down: NonNegativeInt = 0
