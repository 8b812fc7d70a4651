"""Makes values of every representation that no two places share, and remembers each of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom import Dataset

MARK = "Qzjx"


@dataclass
class Planted:
    """One object and what was planted.

    Attributes:
        numbers: Whole numbers and dates, as they are written.
        uids: UIDs.
        blobs: Bytes of binary numbers.
        vrs: The value representations that something was planted in.
    """

    dataset: Dataset
    numbers: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    blobs: set[bytes] = field(default_factory=set)
    vrs: set[str] = field(default_factory=set)
    preamble: bytes = b"\0" * 128


class Planter:
    """Makes distinct values and plants them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = seed * 5000

    def word(self, most: int = 64) -> str:
        """Text that no other object holds."""
        self._count += 1
        number, letters = self._count, ""
        while number:
            number, digit = divmod(number, 20)
            letters += "bcdfghklmnprstvwxyza"[digit]
        return (MARK + letters)[:most]

    def uid(self, planted: Planted) -> str:
        """A UID; every third looks like one of the standard's own."""
        self._count += 1
        root = "1.2.840.10008.5.1.4.1.1.2" if self._count % 3 == 0 else "1.2.826.0.1.3680043.8.498"
        uid = f"{root}.{self._random.randrange(10**14, 10**15)}{self._count}"
        planted.uids.add(uid)
        return uid

    def digits(self, planted: Planted, low: int, high: int) -> str:
        """A whole number, remembered."""
        number = str(self._random.randrange(low, high))
        planted.numbers.add(number)
        return number

    def date(self, planted: Planted) -> str:
        """A day of long ago, remembered."""
        return self._remember(planted, f"19{self._random.randrange(21, 29)}{self._month_and_day()}")

    def _month_and_day(self) -> str:
        return f"{self._random.randrange(1, 13):02}{self._random.randrange(1, 29):02}"

    def _clock(self) -> str:
        return f"{self._random.randrange(10, 24)}{self._random.randrange(10, 60)}{self._random.randrange(10, 60)}"

    def _remember(self, planted: Planted, text: str) -> str:
        planted.numbers.add(text)
        return text

    def binary(self, planted: Planted, dtype: str) -> Any:
        """A binary number far outside of what physics needs, remembered as its bytes."""
        kind = np.dtype(dtype)
        number = kind.type(self._random.randrange(1_900_000_000, 2_140_000_000))
        planted.blobs.add(number.tobytes())
        return number.item()

    def value(self, vr: str, planted: Planted) -> Any:
        """A value of a representation; None for what cannot hold one."""
        planted.vrs.add(vr)
        made = self._makers(planted).get(vr)
        return None if made is None else made()

    def _story(self, planted: Planted) -> str:
        return f"born {self.date(planted)} as {self.word()}, {self.uid(planted)}\r\nsee /home/{self.word()}/x"

    def _makers(self, planted: Planted) -> dict[str, Callable[[], Any]]:
        word = self.word
        clock = f"{self._clock()}.{self._random.randrange(100_000, 999_999)}"
        return {
            **dict.fromkeys(("LT", "ST", "UC", "UT"), lambda: self._story(planted)),
            **dict.fromkeys(("UN", "OB", "OW", "OL", "OD", "OV", "OF"), lambda: _blocks(self._story(planted))),
            **{vr: lambda: word(16) for vr in ("AE", "SH")},
            "CS": lambda: word(16).upper(),
            "LO": lambda: [word(), f"{word()} {word()}"],
            "PN": lambda: f"{word()}^{word()}^^Dr={word()}={word()}",
            "UR": lambda: f"https://{word()}.example/{word()}?id={word()}",
            "UI": lambda: self.uid(planted),
            "DA": lambda: self.date(planted),
            "TM": lambda: self._remember(planted, clock),
            "DT": lambda: self._remember(planted, f"19{self._random.randrange(21, 29)}0817{clock}") + "+0130",
            "AS": lambda: "097Y",
            "IS": lambda: self.digits(planted, 1_900_000_000, 2_140_000_000),
            "DS": lambda: self.digits(planted, 10**13, 10**15),
            "UL": lambda: self.binary(planted, "<u4"),
            "SL": lambda: self.binary(planted, "<i4"),
            "SV": lambda: self.binary(planted, "<i8"),
            "UV": lambda: self.binary(planted, "<u8"),
            "FL": lambda: self.binary(planted, "<f4"),
            "FD": lambda: self.binary(planted, "<f8") * 1e4,
        }


def _blocks(text: str) -> bytes:
    """Text as bytes, in blocks of eight."""
    return text.encode().ljust(len(text) // 8 * 8 + 8)
