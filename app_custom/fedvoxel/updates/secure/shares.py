"""Shares of a site's two secrets, sealed for one holder each, and hashes that tie everybody to what was dealt.

Source: Shamir, "How to share a secret", CACM 1979, in GF(2**128) by PyCryptodome; sealed with ChaCha20-Poly1305.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.masks import derive_key

SECRET_BYTES = 16
Kind = Literal["seed", "key"]
"""Which secret: the seed of a site's own mask, or the one that its mask key follows from."""

_ONCE = bytes(12)
"""The nonce: every key seals one message, from one site to another in one round."""


def deal(secret: bytes, least: int, holders: int) -> list[bytes]:
    """Returns one share for each holder; any `least` of them give the secret, fewer tell nothing."""
    return [share for _, share in Shamir.split(least, holders, secret, ssss=False)]


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Returns the secret of shares by their holders' places, counted from 1."""
    return Shamir.combine(list(shares.items()), ssss=False)


def commitment(kind: Kind, dealer: str, holder: str, roster: bytes, share: bytes) -> str:
    """Returns the hash that ties a share down; of 128 random bits, so that it tells nothing of the share."""
    said = json.dumps(["fedvoxel share 1", kind, dealer, holder]).encode()
    return hashlib.sha256(said + roster + share).hexdigest()


def mask_private_key(secret: bytes) -> X25519PrivateKey:
    """Returns the X25519 key that follows from 16 random bytes."""
    return X25519PrivateKey.from_private_bytes(derive_key(secret, "mask key", b""))


def seal(secret: bytes, sender: str, holder: str, roster: bytes, content: bytes) -> str:
    """Returns shares that only `holder` can read, hexadecimal; `secret` is what the two agree on."""
    key = derive_key(secret, json.dumps(["seal", sender, holder]), roster)
    return ChaCha20Poly1305(key).encrypt(_ONCE, content, None).hex()


def unseal(secret: bytes, sender: str, holder: str, roster: bytes, sealed: str) -> tuple[bytes, bytes]:
    """Returns the shares of seed and key that `sender` sealed for `holder`.

    Raises:
        UpdateError: They were sealed by somebody else, for somebody else, or for another round.
    """
    key = derive_key(secret, json.dumps(["seal", sender, holder]), roster)
    try:
        content = ChaCha20Poly1305(key).decrypt(_ONCE, bytes.fromhex(sealed), None)
    except (InvalidTag, ValueError):
        raise UpdateError(f"shares from {sender[:80]} that cannot be opened") from None
    if len(content) != 2 * SECRET_BYTES:
        raise UpdateError(f"shares from {sender[:80]} of a wrong length")
    return content[:SECRET_BYTES], content[SECRET_BYTES:]
