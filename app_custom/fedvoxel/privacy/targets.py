"""What a wanted epsilon and delta may be, for a cohort of so many patients; needs no accountant."""

import math

from fedvoxel.errors import ConfigError


def check_delta(delta: float, patients: int) -> None:
    """Checks that a delta can mean something for a cohort of `patients`.

    With delta >= 1/n, publishing one patient's record, chosen at random, would already count as private.

    Raises:
        ConfigError: There is no patient, or delta is too large for so few patients.
    """
    check_delta_range(delta)
    if patients < 1:
        raise ConfigError(f"expected at least one patient behind a privacy target, got {patients}")
    if delta >= 1 / patients:
        raise ConfigError(
            f"delta {delta:g} is not below 1/{patients}, so that it would allow one of {patients} patients to be "
            f"published: choose at most {1 / (10 * patients):.2g} (a tenth of it), or bring in more patients"
        )


def check_epsilon(value: float) -> None:
    """Checks that an epsilon is one.

    Raises:
        ConfigError: It is not above 0 and finite.
    """
    if not (value > 0 and math.isfinite(value)):
        raise ConfigError(f"expected an epsilon above 0 and finite, got {value!r}")


def check_delta_range(value: float) -> None:
    """Checks that a delta is one.

    Raises:
        ConfigError: It is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise ConfigError(f"expected a delta between 0 and 1 (both excluded), got {value!r}")
