"""Everything by which a training run's private cases could show outside their hospital, and what becomes of each.

A guarantee about updates is worth nothing where a score, a case count or a plan made from the same cases leaves beside
them, or steers what leaves. So each such channel is listed, one by one, and is "charged" to a ledger, made of "public"
knowledge, "off", or "open". One open channel, and there is no guarantee; see `claim`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeInt, StringConstraints, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.privacy.guarantee import PUBLIC_DATA, Guarantee, PrivacyUnit
from fedvoxel.records.names import RunKey, Sha256

if TYPE_CHECKING:
    from fedvoxel.federation.rounds_config import RoundsConfig

PlanSource = Literal["fixed", "statistics"]
"""Where a job's preprocessing plan comes from: people with public knowledge, or statistics of the sites' cases."""

PLAN_SOURCES = get_args(PlanSource)

Choices = Literal["public", "private"]
"""By what network, clip norm, learning rate and all else that the job says was chosen: what is public (papers,
published data, results on public cases), or results on private cases, which no ledger knows."""

CHOICES = get_args(Choices)

CASE_COUNTS = "case counts"
"""The name of the channel that the updates' weights are."""

START_MODEL = "start model"
"""The name of the channel that the run's first model is."""

Words = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Channel(FrozenModel):
    """Is one way out for what private cases hold.

    Attributes:
        name: What it is called.
        status: "charged" to the hospitals' ledgers, "public" (made without private cases), "off", or "open".
        why: The reason, in words.
    """

    name: Words
    status: Literal["charged", "public", "off", "open"]
    why: Words


class StartModel(FrozenModel):
    """Names the earlier run whose model a run begins with.

    Attributes:
        run_key: The earlier run.
        before_round: The round of that run before which the model stood; None for its last model.
        sha256: Of the model file's bytes.
        privacy: What the earlier run's outcome says about privacy, word by word.
        guarantee: The same in parts, with what the earlier run began with counted in; None where there is none.
    """

    run_key: RunKey
    before_round: NonNegativeInt | None = None
    sha256: Sha256
    privacy: str = Field(min_length=1)
    guarantee: Guarantee | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.guarantee and self.privacy != self.guarantee.said():
            raise ValueError("a guarantee beside other words")
        return self

    @property
    def words_of_job(self) -> dict[str, Any]:
        """Are what a run's journal tells its job by: as of the release before `before_round`, where there is none."""
        return self.model_dump(mode="json", exclude=None if self.before_round is not None else {"before_round"})

    @property
    def words(self) -> str:
        """Says which model it is."""
        if self.before_round is None:
            return f"the last model of run {self.run_key}"
        return f"the model of run {self.run_key} from before round {self.before_round}"


def channels_of(
    unit: PrivacyUnit | None,
    noised: bool,
    rounds: "RoundsConfig",
    start: StartModel | None,
    said: Sequence[Channel],
    filters: Sequence[str],
) -> tuple[Channel, ...]:
    """Returns every channel of a training job.

    Args:
        unit: Whom the job's privacy section protects; None without one.
        noised: Whether the section's mechanism gives a guarantee.
        rounds: The job's rounds.
        start: The model that the run begins with; None for one drawn from the job's seed.
        said: What `said_by_the_job` returns.
        filters: Names of the job's own filters on what sites send.
    """
    secure = rounds.secure_aggregation is not None
    return (
        _updates(unit if noised else None, secure),
        _beside_updates(CASE_COUNTS, unit, "every site has the same weight", _COUNTS[secure]),
        _statistics(unit is not None or secure),
        _scores(rounds),
        _model_choice(rounds),
        *said,
        _initial_model(unit, start),
        _filters(filters),
        Channel(name="calibration", status="off", why="nothing is calibrated on sites' cases"),
        _selection(rounds),
    )


def said_by_the_job(plan_source: str | None, choices: str | None) -> tuple[Channel, ...]:
    """Returns the channels that nobody but the job's author can know; what the job does not say is open.

    Args:
        plan_source: Where the preprocessing plan comes from, a `PlanSource`.
        choices: By what everything else in the job was chosen, a `Choices`.

    Raises:
        ConfigError: One of them is none that is known.
    """
    for key, value, known in (("plan_source", plan_source, PLAN_SOURCES), ("choices", choices, CHOICES)):
        if value is not None and value not in known:
            raise ConfigError(f"{key}: expected {' or '.join(known)}, got {value!r}")
    plan = {
        "fixed": "plan_source says that people fixed it in the job",
        "statistics": "plan_source says that it was made from statistics of sites' cases, which no ledger knows",
        None: 'the job does not say where it comes from: "plan_source": "fixed" if from no private case',
    }
    chosen = {
        "public": "choices says that they follow from what is public: papers, published data, cases declared public",
        "private": "choices says that results on private cases were looked at for them, which no ledger knows",
        None: 'the job does not say how they were chosen: "choices": "public" if by no result on a private case',
    }
    return (
        Channel(
            name="preprocessing plan", status="public" if plan_source == "fixed" else "open", why=plan[plan_source]
        ),
        Channel(name="hyper-parameters", status="public" if choices == "public" else "open", why=chosen[choices]),
    )


def _selection(rounds: "RoundsConfig") -> Channel:
    rule = rounds.selection.name
    if rule == "all":
        return Channel(name="site selection", status="off", why="every connected site is asked in every round")
    if rule == "random":
        why = "drawn from the job's seed; nothing is gained from it for the guarantee"
        return Channel(name="site selection", status="off", why=why)
    return Channel(name="site selection", status="open", why=f"{rule} follows what sites report of their cases")


def _updates(unit: PrivacyUnit | None, masked: bool) -> Channel:
    if masked:
        why = {
            "patient": "clipped, noised with the hospital's share, charged to its ledger, and masked before they leave",
            "hospital": "clipped, charged to the hospital's ledger, and masked; the server adds the noise to their sum",
            None: "masked: the server learns their sum, without noise that anybody accounts for",
        }
        return Channel(name="updates", status="charged" if unit else "open", why=why[unit])
    why = {
        "patient": "clipped and noised at the hospital, and charged to its ledger before they leave",
        "hospital": "clipped, and charged to the hospital's ledger before they leave; the server adds the noise",
        None: "they leave the sites without noise that anybody accounts for",
    }
    return Channel(name="updates", status="charged" if unit else "open", why=why[unit])


def _beside_updates(name: str, unit: PrivacyUnit | None, off: str, otherwise: str) -> Channel:
    return Channel(name=name, status="off", why=off) if unit else Channel(name=name, status="open", why=otherwise)


_COUNTS = {False: "each update says how many cases it is", True: "masked: the server learns their sum"}
"""Why case counts are open, by whether the server sees sums only."""


def _statistics(off: bool) -> Channel:
    if off:
        return Channel(name="training statistics", status="off", why="no loss, time or number of refused cases leaves")
    return Channel(name="training statistics", status="open", why="sites say their loss, seconds and refused cases")


def _scores(rounds: "RoundsConfig") -> Channel:
    if rounds.evaluate:
        return Channel(name="validation scores", status="open", why="rounds.evaluate has sites send scores")
    return Channel(name="validation scores", status="off", why="rounds.evaluate is false")


def _model_choice(rounds: "RoundsConfig") -> Channel:
    if rounds.evaluate:
        why = "rounds.evaluate lets scores choose the best round or the last"
        return Channel(name="model choice", status="open", why=why)
    return Channel(name="model choice", status="off", why="the model after the last planned round is taken")


def _initial_model(unit: PrivacyUnit | None, start: StartModel | None) -> Channel:
    name = START_MODEL
    if start is None:
        return Channel(name=name, status="public", why="drawn from the job's seed")
    run = start.words
    if start.privacy == PUBLIC_DATA:
        return Channel(name=name, status="public", why=f"{run}, {PUBLIC_DATA}")
    if start.guarantee is None:
        return Channel(name=name, status="open", why=f"{run}, which has no formal guarantee")
    if unit is not None and start.guarantee.unit != unit:
        return Channel(
            name=name, status="open", why=f"{run}, which protects each {start.guarantee.unit}, not each {unit}"
        )
    return Channel(name=name, status="charged", why=f"{run}, charged to the ledgers of its hospitals; the two add up")


def _filters(names: Sequence[str]) -> Channel:
    if names:
        return Channel(name="job filters", status="open", why=f"{', '.join(names)}: no formal guarantee"[:1000])
    return Channel(name="job filters", status="off", why="the job names none")
