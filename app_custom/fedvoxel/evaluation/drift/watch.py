"""Whether the newest predictions of a package show that images or findings have changed since it was calibrated."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.drift.summaries import Signal, Signals
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import WARN_COVERAGE
from fedvoxel.federation.drift.signs import (
    LEAST_IMAGES,
    LEVEL,
    Sign,
    sign_of_images,
    sign_of_unusual,
    sign_of_volume,
    sure_signs,
)

Verdict = Literal["stable", "drift", "too few"]


class Watch(FrozenModel):
    """Is what was found.

    Attributes:
        package: Identity of the package.
        images: How many were looked at.
        verdict: What may be said.
        signs: All that were asked, each with its chance.
        alarms: Those that matter and are no chance.
        doubtful: Of structures that have an estimate of their Dice: how many images have one below 0.7, by structure.
        others: Results of other packages, or versions, that lie there.
        unassessed: Images of the package of which nothing is known, since it was used without a calibration.
        unreadable: Summaries that could not be read.
    """

    package: str
    images: NonNegativeInt
    verdict: Verdict
    signs: tuple[Sign, ...] = ()
    alarms: tuple[Sign, ...] = ()
    doubtful: dict[str, NonNegativeInt] = Field(default_factory=dict)
    others: NonNegativeInt = 0
    unassessed: NonNegativeInt = 0
    unreadable: NonNegativeInt = 0


def watch(signals: Signals, calibration: Calibration | None, package: str, last: int, doubtful: float) -> Watch:
    """Returns what the newest predictions show.

    Args:
        signals: What predictions have left.
        calibration: The package's; None for one without.
        package: Identity of the package.
        last: How many of the newest to look at.
        doubtful: Below this estimated Dice a result is doubtful.

    Raises:
        ConfigError: The package has no calibration, and nothing says what its images were like.
    """
    if calibration is None:
        raise ConfigError(
            "the package has no calibration, so that nothing says what its images were like: calibrate it before it is "
            "released (docs/uncertainty.md)"
        )
    newest = signals.newest(last)
    few = len(newest) < LEAST_IMAGES
    signs = [] if few else _signs(newest, calibration)
    alarms = sure_signs(signs, LEVEL)
    names = calibration.plan.structures
    low = {
        name: sum(one.dice.get(code, 1.0) < doubtful for one in newest)
        for code, name in enumerate(names, start=1)
        if not few and any(code in one.dice for one in newest)
    }
    return Watch(
        package=package,
        images=len(newest),
        verdict="too few" if few else "drift" if alarms else "stable",
        signs=tuple(signs),
        alarms=tuple(alarms),
        doubtful=low,
        others=signals.others,
        unassessed=signals.unassessed,
        unreadable=signals.unreadable,
    )


def _signs(newest: Sequence[Signal], calibration: Calibration) -> list[Sign]:
    plan, distances = calibration.plan, calibration.distances
    volumes = {
        name: [one.volumes_ml[code] for one in newest if code in one.volumes_ml]
        for code, name in enumerate(plan.structures, start=1)
    }
    asked = {name: found for name, found in volumes.items() if len(found) >= LEAST_IMAGES}
    unusual = sum(one.unusual for one in newest)
    signs = [
        sign_of_images([one.distance for one in newest], distances, signs=2 + len(asked)),
        sign_of_unusual(unusual, len(newest), distances.patients, WARN_COVERAGE),
    ]
    for name, found in asked.items():
        usual = plan.log_volumes[name]
        signs.append(sign_of_volume(name, found, usual, plan.reference.cases) if usual else None)
    return [sign for sign in signs if sign is not None]
