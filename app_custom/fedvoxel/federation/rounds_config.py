"""The rounds section of a job: how many, when one is complete, how updates become a model, and how they travel."""

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.absences import SiteName
from fedvoxel.federation.contribution_config import ContributionConfig
from fedvoxel.federation.robust_config import AggregationConfig, WeightedMean
from fedvoxel.federation.selection_config import EVERYBODY, AllSites, SelectionConfig
from fedvoxel.federation.server_optimizer import PlainStep, ServerOptimizerConfig
from fedvoxel.updates.compression.config import NO_COMPRESSION, CompressionConfig
from fedvoxel.updates.correction import Correction
from fedvoxel.updates.secure.config import SecureConfig


class RoundsConfig(FrozenModel):
    """Configures a run's rounds.

    Attributes:
        num_rounds: Rounds to run, at least 1.
        min_sites: Accepted updates that a round needs (the k of k-of-n).
        round_timeout_s: Longest wait for a round's replies, in seconds.
        grace_s: How long to wait for the others once `min_sites` have replied, in seconds; null waits for all sites
            that are connected, up to `round_timeout_s`.
        site_timeout_s: Longest wait for a single site, from when it came for its task, in seconds; null waits up to
            `round_timeout_s`.
        max_cases_per_site: Largest weight that a site may claim. All sites' together are held against what a round adds
            up exactly, see `site_checks`.
        case_counts: Most cases that each of these sites may claim, in training and in validation, where the consortium
            has agreed on them.
        evaluate: Whether sites score the global model on their own cases; a job that protects each patient has them
            send no score.
        patience: Rounds without a better validation score after which the run stops early; null never stops.
        aggregation: How a round's updates become one.
        server_optimizer: The step along the mean update.
        correction: What corrects each site's steps for the difference of its cases from the others', or null.
        compression: Codecs of what travels, both ways.
        selection: Which sites are asked in a round. Unless it is all, only the last model is scored by all of them,
            and so it is the one that is kept.
        contribution: How to find out what each site's update is worth, or null.
        secure_aggregation: Has the server learn the sum of all updates only, or null.
    """

    num_rounds: int = Field(ge=1, le=10_000)
    min_sites: int = Field(default=2, ge=1, le=10_000)
    round_timeout_s: float = Field(default=3600.0, gt=0, le=7 * 24 * 3600)
    grace_s: float | None = Field(default=None, ge=0)
    site_timeout_s: float | None = Field(default=None, gt=0, le=7 * 24 * 3600)
    max_cases_per_site: int = Field(default=100_000, ge=1)
    case_counts: dict[SiteName, PositiveInt] = Field(default_factory=dict)
    evaluate: bool = True
    patience: int | None = Field(default=None, ge=1)
    aggregation: AggregationConfig = WeightedMean()
    server_optimizer: ServerOptimizerConfig = PlainStep()
    correction: Correction | None = None
    compression: CompressionConfig = NO_COMPRESSION
    selection: SelectionConfig = EVERYBODY
    contribution: ContributionConfig | None = None
    secure_aggregation: SecureConfig | None = None

    @model_validator(mode="after")
    def _has_sites_enough(self) -> Self:
        least = self.aggregation.least_sites
        if self.min_sites < least:
            raise ValueError(f"aggregation: {self.aggregation.name} needs min_sites of {least} at least")
        return self

    @model_validator(mode="after")
    def _has_scores_to_go_by(self) -> Self:
        if not self.evaluate and (self.patience is not None or self.compression.guard_dice):
            raise ValueError(
                "evaluate: patience and compression.guard_dice go by the sites' scores; write evaluate true, or null "
                "for both"
            )
        return self

    @model_validator(mode="after")
    def _correction_is_of_plain_averaging(self) -> Self:
        plain = isinstance(self.aggregation, WeightedMean) and self.server_optimizer == PlainStep()
        if self.correction and not plain:
            raise ValueError(
                f"correction: {self.correction.name} is made for aggregation 'mean' and server_optimizer 'plain' with "
                "learning_rate 1: write those, or null"
            )
        return self

    @model_validator(mode="after")
    def _selection_goes_with_the_rest(self) -> Self:
        if not isinstance(self.selection, AllSites):
            if self.patience is not None:
                raise ValueError("selection: scores of different sites cannot stop a run early; write patience null")
            if self.compression.down or self.compression.guard_dice:
                raise ValueError("selection: compression.down and its guard need every site in every round; write null")
        return self

    @model_validator(mode="after")
    def _contribution_goes_with_the_rest(self) -> Self:
        if self.contribution and not isinstance(self.aggregation, WeightedMean):
            raise ValueError("contribution: models of some of the sites are means; write aggregation mean")
        if self.contribution and self.contribution.method != "agreement" and not self.evaluate:
            raise ValueError("contribution: sites have to score models; write evaluate true, or method agreement")
        return self

    @model_validator(mode="after")
    def _sums_go_with_the_rest(self) -> Self:
        if self.secure_aggregation is None:
            return self
        sighted = {
            "case_counts": bool(self.case_counts),
            "aggregation": not isinstance(self.aggregation, WeightedMean),
            "contribution": self.contribution is not None,
            "correction": self.correction is not None,
            "compression.up": self.compression.up is not None,
            "selection": not isinstance(self.selection, AllSites),
        }
        if any(sighted.values()):
            named = ", ".join(name for name, asked in sighted.items() if asked)
            raise ValueError(
                f"secure_aggregation: the server sees no single update, and cannot do {named}: leave it out (masked "
                "updates are as narrow as secure_aggregation.bits says)"
            )
        return self
