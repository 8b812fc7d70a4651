"""What a site tells of itself when it is asked whether it could take part: bands, not counts, and versions."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("fedvoxel", "nvflare", "torch", "monai", "numpy")
_BANDS = ((0, "none"), (4, "1 to 4"), (9, "5 to 9"), (19, "10 to 19"), (49, "20 to 49"), (99, "50 to 99"))


def readiness(training_cases: int, refused_cases: int) -> dict[str, Any]:
    """Returns what a site replies to a check.

    Args:
        training_cases: Usable training cases.
        refused_cases: Training cases that it cannot use.
    """
    return {
        "training_cases": case_band(training_cases),
        "refused_cases": case_band(refused_cases),
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Returns the version of each package that matters; imports none of them."""
    return {name: _version(name) for name in _PACKAGES}


def case_band(count: int) -> str:
    """Returns a count as a band: "none", "1 to 4", ..., "100 or more"."""
    return next((band for upper, band in _BANDS if count <= upper), "100 or more")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
