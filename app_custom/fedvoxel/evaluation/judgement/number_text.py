"""Writes a judgement's numbers for people: always with their interval, and a dash where nothing can be said."""

from fedvoxel.evaluation.judgement.agreement import Limit
from fedvoxel.evaluation.judgement.intervals import Estimate

UNKNOWN = "\N{EN DASH}"


def interval_text(found: Estimate, digits: int = 3) -> str:
    """Returns "0.871 (0.853 to 0.889)"."""
    if found.value is None:
        return UNKNOWN
    if found.low is None or found.high is None:
        return number_text(found.value, digits)
    return f"{number_text(found.value, digits)} ({number_text(found.low, digits)} to {number_text(found.high, digits)})"


def signed_text(found: Estimate, digits: int = 3) -> str:
    """Returns "+0.012 (−0.004 to +0.028)"."""
    if found.value is None:
        return UNKNOWN
    value = with_sign(found.value, digits)
    if found.low is None or found.high is None:
        return value
    return f"{value} ({with_sign(found.low, digits)} to {with_sign(found.high, digits)})"


def limit_text(limit: Limit, digits: int = 3) -> str:
    """Returns "+0.05 mL (−0.02 to +0.12)"."""
    value, low, high = (with_sign(number, digits) for number in (limit.value_ml, limit.low_ml, limit.high_ml))
    return f"{value} mL ({low} to {high})"


def number_text(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many digits after the point."""
    return UNKNOWN if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def p_text(value: float | None) -> str:
    """Returns "p = 0.031", "p < 0.001", or a dash."""
    if value is None:
        return UNKNOWN
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def millilitre_digits(volume_ml: float) -> int:
    """Returns how many digits after the point a volume, and differences to it, are written with."""
    return 0 if volume_ml >= 1000 else 1 if volume_ml >= 100 else 2 if volume_ml >= 10 else 3


def with_sign(value: float, digits: int = 3) -> str:
    """Returns "+0.012", "−0.012", or a zero without a sign."""
    text = number_text(abs(value), digits)
    if float(text) == 0:
        return text
    return f"+{text}" if value > 0 else f"\N{MINUS SIGN}{text}"
