"""The truthful record of a run: what was committed, who took part, who was missing or refused and why, how good it is.

The controller writes it as `outcome.json` into the job's result, because FLARE's job status is no outcome: it says
COMPLETED of a model full of NaN and ABNORMAL of a good run. What sites send as scores is parsed by `SiteScore` here,
so that the server needs neither numpy nor torch to refuse a malformed score. Per-case scores never appear.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, NonNegativeFloat, NonNegativeInt, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.federation.absences import Absences, Reason, SiteName
from fedvoxel.federation.attempts import Attempted, RunStatus
from fedvoxel.federation.channels import Channel, StartModel
from fedvoxel.federation.contribution_config import RoundContribution
from fedvoxel.federation.sent_bytes import BesideRounds
from fedvoxel.privacy.guarantee import NO_GUARANTEE, Guarantee
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import Sha256

OUTCOME_FILE = "outcome.json"
"""The name of the outcome in a job's workspace."""

MASKED = "masked"
"""How the codec of updates is named in a round of secure aggregation, with the ring's width after it."""

Dice = Annotated[float, Field(ge=0.0, le=1.0)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FilterNote = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ClassScore(FrozenModel):
    """Says how well one class is segmented on one site's unseen cases.

    Attributes:
        cases: How many cases have a score for this class.
        dice_mean: Mean Dice over those cases; None where nothing can be said (no case, or too few to send).
        dice_low: Lower end of the mean's 95 % bootstrap interval; None with fewer than two cases.
        dice_high: Upper end of that interval.
        hd95_mm_median: Median of the 95th percentile Hausdorff distance in mm; None where it is undefined.
    """

    cases: NonNegativeInt
    dice_mean: Dice | None = None
    dice_low: Dice | None = None
    dice_high: Dice | None = None
    hd95_mm_median: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _interval_is_whole(self) -> Self:
        if (self.dice_low is None) != (self.dice_high is None):
            raise ValueError("dice_low and dice_high come together or not at all")
        if self.dice_low is not None and self.dice_high is not None and self.dice_low > self.dice_high:
            raise ValueError("dice_low is greater than dice_high")
        if self.dice_low is not None and self.dice_mean is None:
            raise ValueError("an interval without dice_mean")
        return self


class SiteScore(FrozenModel):
    """Holds one site's scores on its unseen cases, as the site sends them: counts, means and intervals only."""

    cases: NonNegativeInt
    classes: dict[ClassName, ClassScore]

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        for name, score in self.classes.items():
            if score.cases > self.cases:
                raise ValueError(f"class {name} has {score.cases} cases, the site only {self.cases}")
        return self


class ValidationScore(FrozenModel):
    """Holds one site's validation of one round's global model.

    Attributes:
        cases: How many cases count in a mean over sites: those it was scored on, or fewer, see `Vetting.weighed`.
        dice: Mean Dice by class, None where no case has it.
    """

    cases: NonNegativeInt
    dice: dict[ClassName, Dice | None]


class RoundRecord(FrozenModel):
    """Says what happened in one round (0-based).

    Attributes:
        round: Index of the round.
        seconds: Wall time of the round.
        contributed: Training cases of each site whose update was aggregated.
        missing: Sites that gave no answer in time or failed, each with the reason.
        refused: Sites whose update was refused, each with the reason.
        afterwards: Sites whose update is in a sum of secure aggregation and whose answer after it, a signature or the
            shares, did not come or was refused.
        unscored: Sites that gave no score of a model that `contribution` asks about; of several reasons the first.
        evaluation_only: Sites that take part without training.
        not_selected: Sites that were not asked in this round, each with the reason.
        slow: Sites whose reply took several times longer than they used to, or than the others', each with the times.
        loss: Mean training loss of each contributing site.
        validation: Score of the round's global model at each site that validated it.
        filters: What a filter of the job says that it did to each contributing site's update.
        contribution: What each update was worth, where the job asks and all models could be scored.
        codecs: Name of the codec of each direction that has one, after any step back of the guard.
        bytes_up: Bytes of the sites' updates, as they were encoded, refused ones too.
        bytes_down: Bytes of what the sites came for: models, or encoded changes to the one that they hold.
        secure_bytes_up: Bytes of the keys, shares and signatures that the sites sent for secure aggregation.
        secure_bytes_down: Bytes of what the server passed on of these to each site.
        contribution_bytes_down: Bytes of the models that were sent to be scored for `contribution`, also where that
            came to nothing.
    """

    round: NonNegativeInt
    seconds: NonNegativeFloat
    contributed: dict[SiteName, NonNegativeInt] = Field(default_factory=dict)
    missing: dict[SiteName, Reason] = Field(default_factory=dict)
    refused: dict[SiteName, Reason] = Field(default_factory=dict)
    afterwards: Absences = Absences()
    unscored: Absences = Absences()
    evaluation_only: tuple[SiteName, ...] = ()
    not_selected: dict[SiteName, Reason] = Field(default_factory=dict)
    slow: dict[SiteName, Reason] = Field(default_factory=dict)
    loss: dict[SiteName, float] = Field(default_factory=dict)
    validation: dict[SiteName, ValidationScore] = Field(default_factory=dict)
    filters: dict[SiteName, FilterNote] = Field(default_factory=dict)
    contribution: RoundContribution | None = None
    codecs: dict[Literal["up", "down"], str] = Field(default_factory=dict)
    bytes_up: NonNegativeInt = 0
    bytes_down: NonNegativeInt = 0
    secure_bytes_up: NonNegativeInt = 0
    secure_bytes_down: NonNegativeInt = 0
    contribution_bytes_down: NonNegativeInt = 0

    @model_validator(mode="after")
    def _refused_did_not_contribute(self) -> Self:
        both = sorted(set(self.contributed) & set(self.refused))
        if both:
            raise ValueError(f"{', '.join(both)} cannot both have contributed and been refused")
        return self


class ModelFile(FrozenModel):
    """Names a model file beside the outcome, with the SHA-256 of its bytes."""

    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
    sha256: Sha256


class RunOutcome(Attempted):
    """Is the whole record of one run, as `outcome.json` holds it.

    Attributes:
        run_key: Key of the run; several FLARE jobs may be attempts of one run.
        status: How the run ended; "stopped_early" is an early stop on purpose.
        reason: Why, where the status needs one.
        rounds_planned: Rounds that the job asks for; 0 where it does not say so in a way that can be read.
        best_round: Round whose global model validated best; None where no round was validated.
        sites: Every site of the run, whether or not it ever answered.
        no_first_model: Sites that were asked for the first model, one after another, and gave none.
        first_model_from: The site that gave it; None for none, or where that was not noted.
        rounds: One record per round that was begun, in order; more than `rounds_committed` where the last one failed.
        model: The last committed global model; None where no round was committed, or it could not be written.
        test: Each site's scores of the best validated model (of the last, where none was) on cases never trained on.
        personal: Scores of the same cases by each site's own personal model, where the job trains one.
        unvalidated: Sites without a score of the last model, which is validated by itself after the last round; None
            where the run did not get that far.
        untested: Sites without scores of the test; None where the run did not get that far.
        refused_cases: Training and validation cases that a site could not use, as its last accepted reply to a round
            says; a site that never said is left out.
        privacy: The guarantee in words, or "no formal guarantee".
        guarantee: The guarantee in its parts, where there is one.
        channels: What could have carried private cases out, and what became of it.
        start_from: The earlier run whose model this one began with; None for one drawn from the job's seed.
        beside_rounds: Bytes that were sent outside the rounds.
        versions: Version of each package that matters, on the server.
        site_versions: The release of FedVoxel at each site, as it told when it last came for a task.
    """

    schema_version: Literal[1] = 1
    run_key: str
    job_id: str
    job_name: str
    status: RunStatus
    reason: Reason | None = None
    rounds_planned: NonNegativeInt
    rounds_committed: NonNegativeInt
    best_round: NonNegativeInt | None = None
    sites: tuple[SiteName, ...]
    no_first_model: Absences = Absences()
    first_model_from: SiteName | None = None
    rounds: tuple[RoundRecord, ...] = ()
    model: ModelFile | None = None
    best_model: ModelFile | None = None
    test: dict[SiteName, SiteScore] = Field(default_factory=dict)
    personal: dict[SiteName, SiteScore] = Field(default_factory=dict)
    unvalidated: Absences | None = None
    untested: Absences | None = None
    refused_cases: dict[SiteName, NonNegativeInt] = Field(default_factory=dict)
    privacy: str = NO_GUARANTEE
    guarantee: Guarantee | None = None
    channels: tuple[Channel, ...] = ()
    start_from: StartModel | None = None
    beside_rounds: BesideRounds = BesideRounds()
    started: AwareDatetime
    finished: AwareDatetime
    versions: dict[str, str] = Field(default_factory=dict)
    site_versions: dict[SiteName, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _rounds_add_up(self) -> Self:
        indices = [record.round for record in self.rounds]
        if indices != sorted(set(indices)):
            raise ValueError("rounds are not in order, or one appears twice")
        if self.rounds_committed > min(self.rounds_planned, len(self.rounds)):
            raise ValueError(
                f"{self.rounds_committed} rounds committed of {self.rounds_planned} planned, {len(indices)} recorded"
            )
        if self.best_round is not None and self.best_round not in indices:
            raise ValueError(f"best_round {self.best_round} is not among the recorded rounds")
        if self.finished < self.started:
            raise ValueError("finished before it started")
        return self

    @model_validator(mode="after")
    def _claim_is_one(self) -> Self:
        open_ones = [channel.name for channel in self.channels if channel.status == "open"]
        if self.guarantee and (open_ones or self.privacy != self.guarantee.said()):
            raise ValueError(f"a guarantee beside other words or open channels ({', '.join(open_ones) or 'none open'})")
        return self


def write_outcome(outcome: RunOutcome, path: Path) -> None:
    """Writes the outcome atomically as JSON."""
    write_json(path, outcome.model_dump(mode="json"))


def load_outcome(path: Path) -> RunOutcome:
    """Reads an outcome.

    Raises:
        ConfigError: The file is missing, is not JSON, or is no outcome of a version that this package knows.
    """
    return load_json_config(RunOutcome, path, "the run's outcome")
