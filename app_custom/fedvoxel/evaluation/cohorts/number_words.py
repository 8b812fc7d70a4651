"""Writes numbers for people."""


def number_words(value: float) -> str:
    """Returns a number with four digits that count, without an exponent: "368.9", "365,000"."""
    return f"{float(f'{value:.4g}'):,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
