"""X25519 public keys as they travel, in hexadecimal."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fedvoxel.errors import UpdateError


def agree(own: X25519PrivateKey, other: str) -> bytes:
    """Returns what two sites share, by the other's public key in hexadecimal.

    Raises:
        UpdateError: The other's key is none that anybody can share a secret with.
    """
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(other)))
    except ValueError:
        raise UpdateError("a public key that gives no secret") from None


def check_public(key: str) -> None:
    """Checks that a secret can be shared by a public key: a key of low order gives everybody the same.

    Raises:
        UpdateError: None can.
    """
    agree(X25519PrivateKey.generate(), key)


def public_hex(key: X25519PrivateKey) -> str:
    """Returns a key's public half, hexadecimal."""
    return key.public_key().public_bytes_raw().hex()
