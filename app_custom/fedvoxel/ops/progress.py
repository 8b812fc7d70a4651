"""What the server and the sites tell about a run under way, and how long it may still take.

Unknown keys are ignored, and unknown phases shown: a consortium's members upgrade on different days, and a viewer that
fails helps nobody.
"""

from statistics import median
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

from fedvoxel.config import FrozenModel, parse_config

SiteStateName = Literal["training", "replied", "missing", "refused", "evaluation_only", "waiting", "not_selected"]
Phase = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
"""Is starting, training, contribution, validation, test or done; a newer server may say another word."""


class _Tolerant(FrozenModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SiteState(_Tolerant):
    """Says what a site is doing in the current round, and why where it is missing or refused."""

    state: SiteStateName
    reason: str | None = None


class SiteWait(_Tolerant):
    """Says that a site is waited for.

    Attributes:
        site: Whom for.
        since: Since when (seconds since the epoch, the server's clock).
        until: Until when at the latest.
        reason: What the site is at, and what ends the wait.
    """

    site: str
    since: NonNegativeFloat
    until: NonNegativeFloat
    reason: str


class ValidationPoint(_Tolerant):
    """Holds the mean validation Dice of one round's global model, over all cases and by site."""

    round: NonNegativeInt
    mean_dice: float | None
    sites: dict[str, float | None] = Field(default_factory=dict)


class Progress(_Tolerant):
    """Is the server's account of a run under way.

    Attributes:
        round: Index of the current round (0-based).
        rounds_planned: Rounds that the job asks for.
        phase: What the current round, or the run, is at.
        started: When the run began (seconds since the epoch, the server's clock).
        round_started: When the current round began; None before the first.
        round_seconds: Wall time of each finished round.
        sites: What each site does.
        validation: One point per validated round.
        attempts: FLARE jobs of the run until now; each goes on where the one before it was interrupted.
        waits: Who is waited for at the moment.
    """

    round: NonNegativeInt = 0
    rounds_planned: PositiveInt
    phase: Phase
    started: NonNegativeFloat
    round_started: NonNegativeFloat | None = None
    round_seconds: tuple[NonNegativeFloat, ...] = ()
    sites: dict[str, SiteState] = Field(default_factory=dict)
    validation: tuple[ValidationPoint, ...] = ()
    attempts: PositiveInt = 1
    waits: tuple[SiteWait, ...] = ()

    def seconds_left(self, now: float) -> float | None:
        """Estimates the seconds until the last round ends; None while no round has finished.

        A round is expected to take the median of the finished ones. One that already takes longer counts as about to
        end, so that the estimate never falls below the rounds that have not begun.

        Args:
            now: Seconds since the epoch.
        """
        if self.phase in ("test", "done"):
            return 0.0
        if not self.round_seconds:
            return None
        usual = median(self.round_seconds)
        begun = 0.0 if self.round_started is None else max(now - self.round_started, 0.0)
        return max(usual - begun, 0.0) + usual * max(self.rounds_planned - self.round - 1, 0)


class SiteStep(_Tolerant):
    """Says how far a site's trainer is in its current task."""

    step: NonNegativeInt
    steps: PositiveInt
    loss: float | None = None


def parse_progress(values: Any) -> Progress | None:
    """Reads the server's account; None while the run has not begun to keep one.

    Raises:
        ConfigError: It is not an account that this version can read.
    """
    return parse_config(Progress, values, "the progress that the server reports") if values else None


def parse_step(values: Any) -> SiteStep | None:
    """Reads a site's account; None where there is none or it makes no sense, since one site must not blind the view."""
    try:
        return SiteStep.model_validate(values)
    except ValidationError:
        return None
