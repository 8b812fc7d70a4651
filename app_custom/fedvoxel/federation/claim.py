"""What a training run may claim about privacy, from what its job says, and through which channels it could fail.

The claim is computed from the job's configuration alone, never taken from its words. A channel that is open makes it
"no formal guarantee", whatever the noise on the updates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedvoxel.errors import ConfigError
from fedvoxel.federation.channels import Channel, StartModel, channels_of, said_by_the_job
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA, Guarantee, added, rounded_up
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig, read_section
from fedvoxel.updates.secure.config import SecureConfig

if TYPE_CHECKING:
    from fedvoxel.federation.rounds_config import RoundsConfig

_OF_THE_CASES = {
    "updates",
    "case counts",
    "training statistics",
    "validation scores",
    "model choice",
    "job filters",
    "site selection",
}
"""Channels of a job without a privacy section that carry nothing but what the cases trained on hold."""

_JOB_FILTERS = "job filters"
_SITES_SAID = 3
"""As many sites' filters are said in a claim's text."""


@dataclass(frozen=True)
class Claim:
    """Is what may be said of a run.

    Attributes:
        text: The guarantee in words, or "no formal guarantee" and the channels that are open.
        guarantee: The guarantee; None where there is none.
        channels: Every channel, in a fixed order.
    """

    text: str
    guarantee: Guarantee | None
    channels: tuple[Channel, ...]

    @property
    def open(self) -> tuple[str, ...]:
        """Are the names of the open channels."""
        return tuple(channel.name for channel in self.channels if channel.status == "open")

    def on_public_cases(self) -> "Claim":
        """Returns the claim of a run where every answer of every site to every round said that its cohort is public.

        Answers of sites that trained nothing count as well: their scores steer the choice of the model.
        """
        channels = tuple(_made_public(channel) for channel in self.channels)
        public = self.guarantee is None and all(channel.status in ("public", "off") for channel in channels)
        return Claim(PUBLIC_DATA, None, channels) if public else self

    def through_filters(self, said: Mapping[str, str]) -> "Claim":
        """Returns the claim of a run whose updates passed filters of the job, which are no formal guarantee.

        Args:
            said: What the filter at each site says of itself.
        """
        words = "; ".join(f"{site}: {note}" for site, note in sorted(said.items())[:_SITES_SAID])
        words += f"; and {len(said) - _SITES_SAID} more sites" if len(said) > _SITES_SAID else ""
        public = self.text == PUBLIC_DATA
        filters = Channel(name=_JOB_FILTERS, status="public" if public else "open", why=words[:1000])
        channels = tuple(filters if channel.name == _JOB_FILTERS else channel for channel in self.channels)
        return Claim(self.text if public else f"{NO_GUARANTEE} ({words})", None, channels)


def claim_of(
    privacy: Any,
    rounds: "RoundsConfig",
    *,
    start: StartModel | None = None,
    plan_source: str | None = None,
    choices: str | None = None,
    filters: Sequence[str] = (),
) -> Claim:
    """Returns what a job may claim for as many rounds, and draws that crashes may cost, as are planned.

    Args:
        privacy: The job's privacy section, as JSON or parsed; None protects nobody.
        rounds: The job's rounds.
        start: The earlier run whose model it begins with, if any.
        plan_source: Where its preprocessing plan comes from, a `PlanSource`; None where it does not say.
        choices: By what the rest of it was chosen, a `Choices`; None where it does not say.
        filters: Names of its own filters on what sites send.

    Raises:
        ConfigError: The privacy section, `plan_source` or `choices` is wrong, deltas add up to 1, or the
            rounds hold a rule that does not go with it.
    """
    said = said_by_the_job(plan_source, choices)
    if privacy is None:
        return Claim(NO_GUARANTEE, None, channels_of(None, False, rounds, start, said, filters))
    section = read_section(privacy)
    _check_goes_with_privacy(section, rounds)
    guarantee = _guarantee(section, rounds.num_rounds, rounds.secure_aggregation is not None)
    channels = channels_of(section.unit, guarantee is not None, rounds, start, said, filters)
    open_ones = ", ".join(channel.name for channel in channels if channel.status == "open")
    if guarantee is None or open_ones:
        return Claim(f"{NO_GUARANTEE} (open: {open_ones})", None, channels)
    whole = _with_start(guarantee, start) if start else guarantee
    return Claim(whole.said(), whole, channels)


def _check_goes_with_privacy(section: PatientMechanismConfig | HospitalMechanismConfig, rounds: "RoundsConfig") -> None:
    if rounds.correction:
        raise ConfigError(
            f"correction: {rounds.correction.name} with a privacy section: nothing accounts for what it keeps of the "
            "rounds before; write null, or take out the privacy section"
        )
    if rounds.selection.name not in ("all", "random"):
        raise ConfigError(
            f"selection: {rounds.selection.name} with a privacy section: case counts, losses and times may not leave; "
            'write "random" or "all", or take out the privacy section'
        )
    if rounds.contribution:
        raise ConfigError(
            "contribution with a privacy section: what a single update is worth tells of its cases, at no charge; "
            "write null, or take out the privacy section"
        )
    _check_sums(section, rounds.secure_aggregation)
    if section.unit == "hospital" and rounds.compression.down:
        raise ConfigError(
            "compression.down with privacy of each hospital: the server's ledger names the very bytes that the sites "
            "get of a noised model; write null"
        )
    if section.unit == "hospital" and rounds.aggregation.name != "mean":
        raise ConfigError(
            f"aggregation: {rounds.aggregation.name} with privacy of each hospital: the noise is made for a mean of "
            'clipped updates; write "mean", or take out the privacy section'
        )


def _check_sums(section: PatientMechanismConfig | HospitalMechanismConfig, secure: SecureConfig | None) -> None:
    """Checks that what the mechanism counts on is what the server sees."""
    if isinstance(section, HospitalMechanismConfig):
        if secure and section.adaptive_clip:
            raise ConfigError("adaptive_clip with secure_aggregation: nobody sees who is within the bound; write null")
        return
    if section.shared_noise is None:
        if secure:
            raise ConfigError(
                "secure_aggregation with noise that each site adds whole: write privacy.shared_noise, and each adds a "
                "share; or take out rounds.secure_aggregation"
            )
        return
    if secure is None:
        raise ConfigError(
            "privacy.shared_noise without secure aggregation: the server would see each site's share, which has too "
            "little noise by itself; take out shared_noise, and each site adds the whole, or add "
            "rounds.secure_aggregation"
        )
    least, dropouts = section.shared_noise.least_sites, section.shared_noise.dropouts
    if secure.least_sites != least or secure.dropouts != dropouts:
        raise ConfigError(
            f"secure_aggregation with least_sites {secure.least_sites} and dropouts {secure.dropouts}, but "
            f"privacy.shared_noise counts on sums of {least} sites at least and {dropouts} dropouts: write those"
        )


def _guarantee(
    section: PatientMechanismConfig | HospitalMechanismConfig, rounds: int, in_sums: bool
) -> Guarantee | None:
    # The accountant behind them takes a second to import, which other jobs are spared.
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.patient_mechanism import PatientMechanism
    from fedvoxel.privacy.simulation import plan_of

    if section.noise_multiplier is None:
        return None
    plan_of(section, rounds)  # says it where these are more steps than can be accounted for
    if isinstance(section, PatientMechanismConfig):
        return PatientMechanism(section).guarantee(rounds)
    return HospitalMechanism(section).guarantee(rounds, in_sums)


def _with_start(guarantee: Guarantee, start: StartModel) -> Guarantee:
    """Returns what the run and the one that its first model comes from give together: epsilons and deltas add up.

    Raises:
        ConfigError: The deltas add up to 1 or more, which is no guarantee.
    """
    earlier = start.guarantee
    if earlier is None:
        return guarantee
    epsilon, delta = added((guarantee.epsilon, earlier.epsilon)), added((guarantee.delta, earlier.delta))
    if delta >= 1:
        raise ConfigError(
            f"the deltas of run {start.run_key}, which it begins with, and of this job add up to {delta:g}"
        )
    begun = (
        f"{start.words}, which it begins with (ε = {rounded_up(earlier.epsilon)}, "
        f"δ = {earlier.delta}, with what that run began with; the two are added)"
    )
    composition = f"{guarantee.composition}; and over {begun}"
    return guarantee.model_copy(update={"epsilon": epsilon, "delta": delta, "composition": composition})


def _made_public(channel: Channel) -> Channel:
    if channel.name in _OF_THE_CASES and channel.status == "open":
        return channel.model_copy(update={"status": "public", "why": "made from cases declared public"})
    return channel
