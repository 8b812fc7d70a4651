"""Turns identifiers into pseudonyms with keys that stay in the hospital.

Each purpose has a key of its own, derived from the site's pseudonym key and the project's name, so that two projects,
or two hospitals, cannot join their patients. Who has the site's key can repeat every pseudonym, and so find who is who
among patients they know: it is as confidential as the originals.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

DEVICE_PREFIX = "device-"
_YEARS_BACK = 10
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, repr=False, eq=False)
class DeidKeys:
    """Holds a project's keys; shows none of them. Can be sent to worker processes of this machine."""

    _uid: bytes
    _patient: bytes
    _shift: bytes
    _device: bytes

    @classmethod
    def of(cls, site_key_hex: str, project: str) -> Self:
        """Derives a project's keys.

        Args:
            site_key_hex: The site's pseudonym key, 64 hexadecimal digits.
            project: The project's name.

        Raises:
            ValueError: The key is not 64 hexadecimal digits; it is not quoted.

        Source: RFC 2104, NIST SP 800-108 (derivation of one key per purpose).
        """
        try:
            site_key = bytes.fromhex(site_key_hex)
        except ValueError:
            site_key = b""
        if len(site_key) != 32:
            raise ValueError("expected a pseudonym key of 64 hexadecimal digits")
        purposes = ("uid", "patient", "shift", "device")
        return cls(*(_mac(site_key, "fedvoxel deid 1", purpose, project) for purpose in purposes))

    def __repr__(self) -> str:
        return "DeidKeys(hidden)"

    def uid(self, uid: str) -> str:
        """Returns the UID that stands for `uid`: "2.25." and 128 bits, at most 44 characters.

        Source: DICOM PS3.5 section B.2.
        """
        return f"2.25.{int.from_bytes(_mac(self._uid, uid)[:16])}"

    def patient(self, patient_id: str, issuer: str) -> str:
        """Returns the pseudonym of a patient: "patient-" and 64 bits in hexadecimal."""
        return f"patient-{_mac(self._patient, issuer, patient_id)[:8].hex()}"

    def device(self, serial_number: str) -> str:
        """Returns the pseudonym of a device: "device-" and 48 bits in hexadecimal."""
        return f"{DEVICE_PREFIX}{_mac(self._device, serial_number)[:6].hex()}"

    def shift(self, patient_id: str, issuer: str) -> timedelta:
        """Returns what is taken from all of a patient's dates and times: 1 day to 10 years, to the second."""
        digest = _mac(self._shift, issuer, patient_id)
        days = 1 + int.from_bytes(digest[:8]) % (_YEARS_BACK * 365)
        return timedelta(days=days, seconds=int.from_bytes(digest[8:16]) % _SECONDS_A_DAY)


def _mac(key: bytes, *parts: str) -> bytes:
    # Lengths first: ("ab", "c") and ("a", "bc") are two things.
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    message = b"".join(len(part).to_bytes(8) + part for part in encoded)
    return hmac.new(key, message, hashlib.sha256).digest()
