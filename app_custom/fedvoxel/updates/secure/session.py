"""What the messages of one secure round look like, and the bytes that are signed in them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, StringConstraints

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.public_keys import check_public

PROTOCOL = 1
"""Version of the protocol; sites and server of another one refuse each other by name."""

SiteName = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Hex16 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64,2048}$")]
Sealed = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96,512}$")]


class Announcement(FrozenModel):
    """Is what a site says first: its public keys of this round, signed.

    Attributes:
        protocol: `PROTOCOL`.
        session: Names run, round and attempt.
        site: The site's name, its certificate's.
        certificate: PEM text.
        task: SHA-256 of what the site was told to train, on which cases.
        seal_key: X25519 public key under which others seal shares for it.
        mask_key: X25519 public key from which the pairs' masks follow.
        signature: Of all this.
    """

    protocol: int
    session: str = Field(min_length=1, max_length=200)
    site: SiteName
    certificate: str = Field(max_length=8192)
    task: Hex32
    seal_key: Hex32
    mask_key: Hex32
    signature: Signature

    def signed_bytes(self) -> bytes:
        """Returns what the signature is of."""
        return canonical("announcement", self.model_dump(mode="json", exclude={"signature"}))


class SealedShares(FrozenModel):
    """Is what a site deals: for each site of the roster its shares, which nobody else can read.

    Attributes:
        sealed: By holder.
        commitments: By holder, the hashes of the shares of seed and key.
        seed: Hash of the seed of the site's own mask.
    """

    sealed: dict[SiteName, Sealed]
    commitments: dict[SiteName, tuple[Hex32, Hex32]]
    seed: Hex32


class Confirmation(FrozenModel):
    """Is a site's signature of who is in the sum."""

    signature: Signature


class Revealed(FrozenModel):
    """Is what a site gives away at the end of a round: of each other site one kind of share, never both.

    Attributes:
        own: The seed of its own mask, which it may give away as it is in the sum.
        seeds: Shares of the seeds of the sites that are in the sum.
        keys: Shares of the keys of those that dropped out.
    """

    own: Hex16
    seeds: dict[SiteName, Hex16]
    keys: dict[SiteName, Hex16]


Model = TypeVar("Model", bound=FrozenModel)

Roster = Mapping[str, Announcement]
"""The sites of one round, by name in ascending order."""


def session_name(run_key: str, round_index: int, attempt: int = 1) -> str:
    """Returns the name of one attempt, from 1, at one round of one run.

    The first one's name has no number, as releases that knew no other write it.
    """
    return f"{run_key}#{round_index}" + (f"#{attempt}" if attempt > 1 else "")


def read_announcement(message: Any, session: str, signers: Signers) -> Announcement:
    """Returns a site's announcement, if it is one of this session and signed by the site.

    Raises:
        UpdateError: It is not.
    """
    found = read(Announcement, message, "an announcement of keys")
    if found.protocol != PROTOCOL:
        raise UpdateError(f"secure aggregation of version {found.protocol}, expected {PROTOCOL}: install one version")
    if found.session != session:
        raise UpdateError("keys announced for another run, round or attempt")
    check_public(found.seal_key)
    check_public(found.mask_key)
    signers.check_signed(found.site, found.certificate, found.signed_bytes(), found.signature)
    return found


def roster_of(announcements: list[Announcement]) -> dict[str, Announcement]:
    """Returns announcements by site, in ascending order.

    Raises:
        UpdateError: A site, or a key, is there twice.
    """
    found = {each.site: each for each in sorted(announcements, key=lambda each: each.site)}
    keys = {key for each in announcements for key in (each.seal_key, each.mask_key)}
    if len(found) < len(announcements) or len(keys) < 2 * len(announcements):
        raise UpdateError("a site or a key that was announced twice")
    return found


def roster_hash(roster: Roster) -> bytes:
    """Returns the SHA-256 of everything that was announced: what all further keys and signatures are bound to."""
    return hashlib.sha256(canonical("roster", [each.model_dump(mode="json") for each in roster.values()])).digest()


def agreement(said: Mapping[str, Any]) -> bytes:
    """Returns the hash of what all sites of a round have to be told alike, or their masks do not cancel.

    Args:
        said: JSON values: the model, the steps, the round, and whatever else decides a site's part of the sum.
    """
    return hashlib.sha256(canonical("agreement", dict(said))).digest()


def confirmed_bytes(roster: bytes, alive: list[str]) -> bytes:
    """Returns what a site signs to confirm who is in the sum."""
    return canonical("alive", {"roster": roster.hex(), "alive": sorted(alive)})


def canonical(kind: str, content: Any) -> bytes:
    """Returns the one way in which some content is written to be signed or hashed."""
    said = {"fedvoxel": kind, "protocol": PROTOCOL, "content": content}
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def read(model: type[Model], message: Any, what: str) -> Model:
    """Returns a message of the protocol.

    Raises:
        UpdateError: It is none.
    """
    try:
        return parse_config(model, message, what)
    except ConfigError as error:
        raise UpdateError(str(error)) from None
