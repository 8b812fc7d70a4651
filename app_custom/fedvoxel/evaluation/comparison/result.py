"""What a comparison of jobs holds, as `comparison.json` has it: means, intervals and sentences, never a single case."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.gain import Gain
from fedvoxel.federation.outcome import Dice


class JobRow(FrozenModel):
    """Holds one job's figures, each the mean over its seeds.

    Attributes:
        dice: Mean Dice of unseen cases, over classes, cases and seeds; None where no class was ever scored.
        dice_by_seed: The same for each seed.
        sites: The same for each hospital.
        worst_site: The hospital with the least of them.
        personal: Whether the scores are of each hospital's personal model.
        bytes_up: Bytes of the first model and of the sites' updates over the whole run.
        bytes_down: Bytes of the models sent to the sites over the whole run, those that were only scored included.
        seconds: Wall time of all rounds.
        curve: Validation Dice of the common model after each round.
    """

    job: str
    dice: Dice | None
    dice_by_seed: tuple[Dice | None, ...]
    sites: dict[str, Dice | None]
    worst_site: str | None
    personal: bool
    bytes_up: NonNegativeFloat
    bytes_down: NonNegativeFloat
    seconds: NonNegativeFloat
    curve: tuple[Dice | None, ...]


class Difference(FrozenModel):
    """Compares a job with another on all unseen cases that both scored, with the 95 % interval of the difference."""

    job: str
    other: str
    cases: NonNegativeInt
    mean: float | None
    low: float | None
    high: float | None


class JobGain(FrozenModel):
    """Says what a job is worth to one hospital, over its own model or against a pooled one."""

    job: str
    gain: Gain


class Comparison(FrozenModel):
    """Is the whole comparison, as `comparison.json` holds it.

    Attributes:
        rows: One for each job, in the order given.
        pooled: Mean Dice of the pooled models over cases and seeds; None without them.
        differences: Each later job against the first.
        gains: Each job at each hospital whose kit is at hand.
        caveats: What a reader must know before believing the figures.
    """

    schema_version: Literal[1] = 1
    cohort: str
    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[JobRow, ...]
    pooled: Dice | None
    differences: tuple[Difference, ...]
    gains: tuple[JobGain, ...]
    caveats: tuple[str, ...]
