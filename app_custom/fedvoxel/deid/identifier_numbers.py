"""Finds identifiers that stand as the value of a number, however it is written: 4711234, +4711234.0, 471123.4567e-2."""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

_WHOLE_FROM = 5
"""Digits of a whole number: fewer come up by chance, as rows, numbers of images or times."""

_ANYWHERE_FROM = 8
"""Digits of a decimal: a contour has tens of thousands of values with seven, and one may be any identifier."""

_NOT_DIGITS = re.compile(r"[^0-9]+")
_LARGEST_POWER = 400


class NumberSearch:
    """Knows identifiers by their digits alone: without letters, separators and leading zeros."""

    def __init__(self, words: Iterable[str]) -> None:
        digits = (_NOT_DIGITS.sub("", word).lstrip("0") for word in words)
        self._whole = frozenset(found for found in digits if len(found) >= _WHOLE_FROM)
        long = (found.rstrip("0") for found in self._whole)
        self._anywhere = frozenset(found for found in long if len(found) >= _ANYWHERE_FROM)

    def finds(self, text: str) -> bool:
        """Says whether a number's whole value, or all its significant digits, are an identifier's."""
        try:
            number = Decimal(text.strip())
        except InvalidOperation:
            return False
        if not number.is_finite() or abs(number.adjusted()) > _LARGEST_POWER:
            return False
        if number == number.to_integral_value() and f"{abs(number):.0f}" in self._whole:
            return True
        return "".join(map(str, number.as_tuple().digits)).strip("0") in self._anywhere
