"""The server's side of one secure round: it relays, adds up, and takes the masks off the sum.

It holds nothing with which it could take them off a single site's message: for each site it is given shares of the
seed or of the key, never of both.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import TooFewError, UpdateError
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.masked import Sum, add_masks, checksum, nothing, read_masked
from fedvoxel.updates.secure.public_keys import agree, public_hex
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import (
    Announcement,
    Confirmation,
    Revealed,
    SealedShares,
    confirmed_bytes,
    read,
    read_announcement,
    roster_hash,
    roster_of,
)
from fedvoxel.updates.secure.shares import Kind, combine, commitment, mask_private_key


class Collector:
    """Collects one round's messages, each checked as it comes; a bad one leaves its site out and nothing else."""

    def __init__(self, session: str, signers: Signers, config: SecureConfig, ring: Ring, size: int) -> None:
        """Starts with nobody.

        Args:
            session: Names run, round and attempt; see `session.session_name`.
            signers: Whose signatures count.
            config: The job's setting.
            ring: Where values are added up.
            size: Number of values of each site.
        """
        self._session, self._signers, self._config, self.ring = session, signers, config, ring
        self._announced: dict[str, Announcement] = {}
        self._shares: dict[str, SealedShares] = {}
        self._sum: Sum = nothing(ring, size)
        self._size = size
        self.alive: list[str] = []
        """The sites whose messages are in the sum."""
        self._confirmed: dict[str, str] = {}
        self._revealed: dict[str, Revealed] = {}

    def add_announcement(self, site: str, message: Any) -> None:
        """Takes a site's keys.

        Raises:
            UpdateError: They are not signed by this site for this round, or were announced before.
        """
        found = read_announcement(message, self._session, self._signers)
        if found.site != site:
            raise UpdateError("keys announced in another site's name")
        # Left to the roster, a key that stands there twice would cost everybody the round.
        roster_of([*self._announced.values(), found])
        self._announced[site] = found

    def roster(self) -> list[dict[str, Any]]:
        """Closes the roster and returns what every site of it is sent.

        Raises:
            UpdateError: They are too few.
        """
        self._roster = roster_of(list(self._announced.values()))
        self._hash = roster_hash(self._roster)
        self._threshold = threshold(len(self._roster), self._config)
        if not self._threshold:
            raise TooFewError(
                f"{len(self._roster)} sites have announced keys, of which {self._config.dropouts} may drop out: too "
                f"few to hide one in the sum ({self._config.least_sites} have to stay, and more than half)"
            )
        return [each.model_dump(mode="json") for each in self._roster.values()]

    @property
    def sites(self) -> list[str]:
        """Are the sites of the roster."""
        return list(self._roster)

    def add_shares(self, site: str, message: Any) -> None:
        """Takes what a site has dealt.

        Raises:
            UpdateError: It is not one sealed share and two hashes for each site of the roster.
        """
        found = read(SealedShares, message, "sealed shares")
        if set(found.sealed) != set(self._roster) or set(found.commitments) != set(self._roster):
            raise UpdateError("shares that are not one for each site of the round")
        self._shares[site] = found

    def dealt(self) -> dict[str, dict[str, Any]]:
        """Returns what every site that has dealt is sent, by dealer; of the shares each can read its own only."""
        return {dealer: shares.model_dump(mode="json") for dealer, shares in sorted(self._shares.items())}

    def add_masked(self, site: str, written: bytes) -> None:
        """Adds a site's masked message to the sum.

        Raises:
            UpdateError: It is none of this round's ring and size, or the site has sent one or has dealt no shares.
        """
        if site not in self._shares or site in self.alive:
            raise UpdateError("a masked update of a site that has dealt no shares, or a second one")
        self._sum.add(read_masked(written, self.ring, self._size))
        self.alive = sorted([*self.alive, site])

    def confirmable(self) -> list[str]:
        """Returns the sites in the sum, which is closed with that.

        Raises:
            UpdateError: They are too few.
        """
        if len(self.alive) < self._threshold:
            raise TooFewError(f"{len(self.alive)} sites have sent a masked update, {self._threshold} are needed")
        return self.alive

    def add_confirmation(self, site: str, message: Any) -> None:
        """Takes a site's signature of who is in the sum.

        Raises:
            UpdateError: It has not signed the list of `alive`.
        """
        signature = read(Confirmation, message, "a confirmation").signature
        content, certificate = confirmed_bytes(self._hash, self.alive), self._roster[site].certificate
        self._signers.check_signed(site, certificate, content, signature)
        self._confirmed[site] = signature

    def confirmations(self) -> dict[str, str]:
        """Returns the signatures that have come, by site."""
        return dict(self._confirmed)

    def add_reveal(self, site: str, message: Any) -> None:
        """Takes the shares that a site gives away.

        Raises:
            UpdateError: They are not those of this round's sites, or do not match what was dealt.
        """
        found = read(Revealed, message, "revealed shares")
        gone = set(self._shares) - set(self.alive)
        if not set(found.seeds) <= set(self.alive) or not set(found.keys) <= gone:
            raise UpdateError("shares that were not asked for")
        if self._seed_hash(found.own) != self._shares[site].seed:
            raise UpdateError("a seed that is not the one which the site is tied to")
        self._check_dealt("seed", site, found.seeds)
        self._check_dealt("key", site, found.keys)
        self._revealed[site] = found

    def total(self, agreed: bytes) -> tuple[int, NDArray[np.int64]]:
        """Returns the sum of the alive sites' cases, and of their values; exact, and nothing else is known.

        Args:
            agreed: What all sites were told alike; see `session.agreement`.

        Raises:
            UpdateError: Too few shares have come to take the masks off, or what comes out is no sum of what honest
                sites send.
        """
        if len(self._revealed) < self._threshold:
            raise TooFewError(f"{len(self._revealed)} sites have revealed shares, {self._threshold} are needed")
        total = self._sum
        for site in self.alive:
            add_masks(total, self._seed_of(site), self._hash, -1)
        for gone in sorted(set(self._shares) - set(self.alive)):
            key = self._key_of(gone)
            for site in self.alive:
                # The alive site added this pair's mask where its name comes first, and took it away elsewhere.
                secret = agree(key, self._roster[site].mask_key)
                add_masks(total, secret, self._hash + agreed, -1 if site < gone else 1)
        reduced = total.reduced()
        values = self.ring.centred(reduced.values)
        if checksum(values, self._hash) != int(reduced.counts[1]):
            raise UpdateError("a sum that does not match its sites' checksums: one has not kept to the protocol")
        return int(reduced.counts[0]), values

    def _seed_of(self, site: str) -> bytes:
        if site in self._revealed:
            return bytes.fromhex(self._revealed[site].own)
        seed = self._secret("seed", site)
        if self._seed_hash(seed.hex()) != self._shares[site].seed:
            raise UpdateError(f"{site} has dealt shares of another seed than its own; the round's sum is lost")
        return seed

    def _seed_hash(self, seed: str) -> str:
        return hashlib.sha256(self._hash + bytes.fromhex(seed)).hexdigest()

    def _key_of(self, site: str) -> Any:
        key = mask_private_key(self._secret("key", site))
        if public_hex(key) != self._roster[site].mask_key:
            raise UpdateError(f"{site} has dealt shares of another key than its own; the round's sum is lost")
        return key

    def _secret(self, kind: Kind, dealer: str) -> bytes:
        places = {site: index + 1 for index, site in enumerate(self._roster)}
        shares: dict[int, bytes] = {}
        for holder, revealed in sorted(self._revealed.items()):
            given: Mapping[str, str] = revealed.seeds if kind == "seed" else revealed.keys
            if dealer in given and len(shares) < self._threshold:
                shares[places[holder]] = bytes.fromhex(given[dealer])
        if len(shares) < self._threshold:
            raise UpdateError(f"{dealer} has dealt too many shares that cannot be used; the round's sum is lost")
        return combine(shares)

    def _check_dealt(self, kind: Kind, holder: str, shares: Mapping[str, str]) -> None:
        for dealer, share in shares.items():
            tied = self._shares[dealer].commitments[holder][0 if kind == "seed" else 1]
            if tied != commitment(kind, dealer, holder, self._hash, bytes.fromhex(share)):
                raise UpdateError(f"a share of {dealer[:80]}'s that does not match what was dealt")
