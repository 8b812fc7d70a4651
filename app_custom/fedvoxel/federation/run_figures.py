"""What a run's outcome says in numbers, each under one name that also says its unit: what charts are drawn of.

Pure. A name is of characters that every tracker takes; a site's or a class's other characters are written as `_` and
their code in six digits, so that two names stay two.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping

from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import RoundRecord, RunOutcome

_LONGEST = 100
_OTHER = re.compile(r"[^A-Za-z0-9._ -]|^\.|_(?=[0-9a-f]{6})")


def round_figures(record: RoundRecord) -> dict[str, float]:
    """Returns the numbers of one round; what nobody knows is left out.

    Returns:
        `validation_dice` (mean over sites and classes, weighted by cases) and `loss` (mean training loss, weighted by
        training cases), both also by site; `seconds`; `bytes_up` and `bytes_down`, all that was sent for updates,
        secure aggregation and contribution; how many sites are `sites_contributed`, `sites_missing`, `sites_refused`.
    """
    means = {"validation_dice": mean_dice(record.validation), "loss": _mean_loss(record)}
    by_site = {
        f"validation_dice/{part(site)}": mean_dice({site: score}) for site, score in sorted(record.validation.items())
    }
    known = {name: value for name, value in (means | by_site).items() if value is not None}
    return {
        **known,
        **{f"loss/{part(site)}": value for site, value in sorted(record.loss.items())},
        "seconds": record.seconds,
        "bytes_up": float(record.bytes_up + record.secure_bytes_up),
        "bytes_down": float(record.bytes_down + record.secure_bytes_down + record.contribution_bytes_down),
        "sites_contributed": float(len(record.contributed)),
        "sites_missing": float(len(record.missing)),
        "sites_refused": float(len(record.refused)),
    }


def end_figures(outcome: RunOutcome) -> dict[str, float]:
    """Returns the numbers of a run as a whole; none of one that has not ended.

    Returns:
        `test_dice` by site and class, on cases never trained on; where the run has a guarantee, `epsilon_per_patient`
        or `epsilon_per_hospital`, and delta under the same unit. What these hold for, against whom and by which
        accountant, `RunOutcome.privacy` says.
    """
    if outcome.status == "unfinished":
        return {}
    figures = dict(_test_figures(outcome))
    if outcome.guarantee:
        unit = outcome.guarantee.unit
        figures |= {f"epsilon_per_{unit}": outcome.guarantee.epsilon, f"delta_per_{unit}": outcome.guarantee.delta}
    return figures


def part(name: str) -> str:
    """Returns a site's or a class's name as part of a figure's name."""
    plain = _OTHER.sub(lambda found: f"_{ord(found.group()):06x}", name)
    if len(plain) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _mean_loss(record: RoundRecord) -> float | None:
    weights = {site: cases for site, cases in record.contributed.items() if cases and site in record.loss}
    return _weighted(record.loss, weights) if weights else None


def _weighted(values: Mapping[str, float], weights: Mapping[str, int]) -> float:
    return sum(weight * values[name] for name, weight in weights.items()) / sum(weights.values())


def _test_figures(outcome: RunOutcome) -> Iterator[tuple[str, float]]:
    for site, score in sorted(outcome.test.items()):
        for name, found in sorted(score.classes.items()):
            if found.dice_mean is not None:
                yield f"test_dice/{part(site)}/{part(name)}", found.dice_mean
