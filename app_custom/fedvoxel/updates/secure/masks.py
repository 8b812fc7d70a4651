"""Masks: streams of uniform residues from a key that is used for one stream only.

Source: AES-256 in counter mode as the pseudo-random generator, NIST SP 800-38A section 6.5, keys by HKDF, RFC 5869.
"""

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedvoxel.updates.secure.ring import Residues, Ring

_SLICE_BYTES = 2**22


def derive_key(secret: bytes, purpose: str, session: bytes) -> bytes:
    """Returns 32 bytes that follow from a secret, for one purpose in one session.

    Args:
        secret: At least 16 bytes of which an attacker knows nothing.
        purpose: What the key is for; another purpose gives an independent key.
        session: What the key is bound to.
    """
    info = b"fedvoxel secure aggregation 1|" + purpose.encode() + b"|" + session
    return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(secret)


def add_mask(residues: Residues, ring: Ring, key: bytes, sign: int = 1) -> None:
    """Adds the mask that follows from `key` to residues in place, or takes it away.

    Args:
        residues: Any number of them; afterwards they have to be `reduced`.
        ring: Where they live.
        key: 32 bytes, never used for another mask.
        sign: 1 to add, -1 to take away.
    """
    # A key makes one stream, so that the counter may begin at zero.
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    step = _SLICE_BYTES // ring.dtype.itemsize
    zeros = bytes(_SLICE_BYTES)
    for start in range(0, residues.size, step):
        part = residues[start : start + step]
        mask = np.frombuffer(stream.update(zeros[: part.nbytes]), ring.dtype)
        if sign > 0:
            part += mask
        else:
            part -= mask
