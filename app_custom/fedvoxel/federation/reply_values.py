"""What a site says beside its update, read before anything of its reply is taken."""

from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.update import check_case_count


def read_validation(config: RoundsConfig, score: Any) -> ValidationScore:
    """Returns a site's validation score as it was sent, without taking it.

    Raises:
        UpdateError: The score is not a plausible number of cases with a Dice in [0, 1] by class, or the job asks for
            none.
    """
    if not config.evaluate:
        raise UpdateError("a validation score that nobody asked for: the job has evaluate false")
    try:
        read = parse_config(ValidationScore, score, "the validation score")
    except ConfigError as error:
        raise UpdateError(str(error)) from None
    if read.cases:
        check_case_count(read.cases, config.max_cases_per_site)
    return read


def read_refused_cases(config: RoundsConfig, count: Any) -> int | None:
    """Returns how many of its cases a site says it could not use; None where it does not say.

    Raises:
        UpdateError: It is not a plausible number of cases.
    """
    most = config.max_cases_per_site
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
        raise UpdateError(f"absurd refused_cases: expected a number of cases between 0 and {most}, got {count!r}")
    return count
