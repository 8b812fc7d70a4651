"""A site's side of one secure round: five answers, each given once and in this order, and then nothing is left of it.

What the server can learn is bound by what this side refuses: a roster or a sum of too few sites, sites that the
hospital does not know, a list of who is in the sum that not enough of the others have signed.
"""

import hashlib
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.identity import Identity, check_signed
from fedvoxel.updates.secure.masked import COUNTS, plain, write_masked
from fedvoxel.updates.secure.masks import add_mask, derive_key
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import (
    PROTOCOL,
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
from fedvoxel.updates.secure.shares import (
    SECRET_BYTES,
    agree,
    commitment,
    deal,
    mask_private_key,
    public_hex,
    seal,
    unseal,
)

_logger = logging.getLogger(__name__)

_STEPS = ("announce", "share", "mask", "confirm", "reveal")


class Member:
    """Takes part in one round for one site."""

    def __init__(
        self,
        identity: Identity,
        session: str,
        config: SecureConfig,
        least_sites: int = 0,
        partners: Collection[str] | None = None,
    ) -> None:
        """Draws the round's secrets from the operating system.

        Args:
            identity: The site's.
            session: Names run and round; see `session.session_name`.
            config: The job's setting.
            least_sites: Fewest sites in the sum, by the hospital's own policy.
            partners: The sites that the hospital adds up with; None takes any of the consortium.
        """
        self._identity, self._session, self._config = identity, session, config
        self._least_sites, self._partners = least_sites, partners
        self._seal_key = X25519PrivateKey.generate()
        self._seed, self._key_secret = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)
        self._done = 0
        self._held: dict[str, tuple[bytes, bytes]] = {}

    @property
    def sites(self) -> int:
        """Is the number of sites of the roster; what a ring has to hold."""
        return len(self._roster)

    def announce(self) -> Announcement:
        """Returns this site's public keys, signed."""
        self._step("announce")
        unsigned = Announcement(
            protocol=PROTOCOL,
            session=self._session,
            site=self._identity.name,
            certificate=self._identity.certificate,
            seal_key=public_hex(self._seal_key),
            mask_key=public_hex(mask_private_key(self._key_secret)),
            signature="0" * 64,
        )
        self._own = unsigned.model_copy(update={"signature": self._identity.sign(unsigned.signed_bytes())})
        return self._own

    def share(self, announced: Sequence[Any]) -> SealedShares:
        """Returns the shares of this site's secrets for every site of the roster, its own among them.

        Raises:
            UpdateError: An announcement is not signed by a site of the consortium, the roster lacks this site's or was
                changed, or the sites are too few or not those that the hospital knows.
        """
        self._step("share")
        root = self._identity.root
        self._roster = roster_of([read_announcement(each, self._session, root) for each in announced])
        if self._roster.get(self._identity.name) != self._own:
            raise UpdateError("a roster without this site's own keys")
        strangers = sorted(set(self._roster) - set(self._partners)) if self._partners is not None else []
        if strangers:
            raise UpdateError(f"sites that this hospital adds up with nobody of: {', '.join(strangers[:5])}")
        self._threshold = threshold(len(self._roster), self._config)
        if not self._threshold or self._threshold < self._least_sites:
            least = max(self._config.least_sites, self._least_sites)
            raise UpdateError(
                f"{len(self._roster)} sites of which {self._config.dropouts} may drop out are too few to hide one: "
                f"this site needs {least} in the sum, and more than half"
            )
        self._hash = roster_hash(self._roster)
        return self._dealt()

    def mask(self, dealt: Mapping[str, Any], cases: int, values: NDArray[np.int64], ring: Ring) -> bytes:
        """Returns this site's masked message.

        A share that cannot be opened, or is not what its dealer is tied to, is left out: it costs that dealer's
        recovery one share, and nobody a part in the round.

        Args:
            dealt: What each site has dealt, by dealer: the sites whose masks have to cancel.
            cases: This site's number of cases, or what stands for it.
            values: Whole numbers, shape (values,), of magnitude at most `ring.most(sites)`.
            ring: Where they are added up.

        Raises:
            UpdateError: Too few sites have dealt, or a value is larger than what cannot overflow.
        """
        self._step("mask")
        dealers = sorted(dealt)
        if not set(dealers) <= set(self._roster) or self._identity.name not in dealt or len(dealers) < self._threshold:
            raise UpdateError(f"shares of {len(dealers)} sites, expected {self._threshold} of the roster at least")
        if values.size and int(np.abs(values).max()) > ring.most(self.sites):
            raise UpdateError("a value so large that the sum could overflow")
        self._dealers = dealers
        for dealer in dealers:
            try:
                self._held[dealer] = self._opened(dealer, read(SealedShares, dealt[dealer], "sealed shares"))
            except UpdateError as error:
                _logger.warning("event=shares_unusable dealer=%s reason=%s", dealer, error)
        return self._masked(cases, values, ring)

    def confirm(self, alive: Sequence[str]) -> Confirmation:
        """Returns this site's signature of who is in the sum.

        Raises:
            UpdateError: They are too few, or not sites of this round, or this site is not among them.
        """
        self._step("confirm")
        self._alive = sorted(set(alive))
        if not set(self._alive) <= set(self._dealers) or len(self._alive) < self._threshold:
            raise UpdateError(f"a sum of {len(self._alive)} sites, expected {self._threshold} of the round at least")
        if self._identity.name not in self._alive:
            raise UpdateError("a sum without this site")
        return Confirmation(signature=self._identity.sign(confirmed_bytes(self._hash, self._alive)))

    def reveal(self, confirmations: Mapping[str, str]) -> Revealed:
        """Returns shares of the seeds of the sites in the sum, and of the keys of those that dropped out.

        Raises:
            UpdateError: Not enough of the sites in the sum have signed the same list.
        """
        self._step("reveal")
        content, root = confirmed_bytes(self._hash, self._alive), self._identity.root
        signed = set(confirmations) & set(self._alive)
        for site in signed:
            check_signed(site, self._roster[site].certificate, root, content, confirmations[site])
        if len(signed) < self._threshold:
            raise UpdateError(f"{len(signed)} signatures of who is in the sum, expected {self._threshold} at least")
        gone = sorted(set(self._dealers) - set(self._alive))
        revealed = Revealed(
            seeds={site: self._held[site][0].hex() for site in self._alive if site in self._held},
            keys={site: self._held[site][1].hex() for site in gone if site in self._held},
        )
        self._held.clear()
        return revealed

    def _step(self, name: str) -> None:
        if self._done >= len(_STEPS) or _STEPS[self._done] != name:
            expected = _STEPS[self._done] if self._done < len(_STEPS) else "nothing more"
            raise UpdateError(f"a secure round out of order: expected {expected}, got {name}")
        self._done += 1

    def _dealt(self) -> SealedShares:
        holders, own = list(self._roster), self._identity.name
        seeds = deal(self._seed, self._threshold, len(holders))
        keys = deal(self._key_secret, self._threshold, len(holders))
        sealed, commitments = {}, {}
        for holder, seed, key in zip(holders, seeds, keys, strict=True):
            secret = agree(self._seal_key, self._roster[holder].seal_key)
            sealed[holder] = seal(secret, own, holder, self._hash, seed + key)
            commitments[holder] = (
                commitment("seed", own, holder, self._hash, seed),
                commitment("key", own, holder, self._hash, key),
            )
        said = hashlib.sha256(self._hash + self._seed).hexdigest()
        return SealedShares(sealed=sealed, commitments=commitments, seed=said)

    def _opened(self, dealer: str, dealt: SealedShares) -> tuple[bytes, bytes]:
        """Returns the shares that a dealer has dealt to this site."""
        own = self._identity.name
        secret = agree(self._seal_key, self._roster[dealer].seal_key)
        seed, key = unseal(secret, dealer, own, self._hash, dealt.sealed.get(own, ""))
        tied = (commitment("seed", dealer, own, self._hash, seed), commitment("key", dealer, own, self._hash, key))
        if dealt.commitments.get(own) != tied:
            raise UpdateError(f"shares from {dealer} that are not those which it is tied to")
        return seed, key

    def _masked(self, cases: int, values: NDArray[np.int64], ring: Ring) -> bytes:
        message, own = plain(ring, cases, values, self._hash), self._identity.name
        key = mask_private_key(self._key_secret)
        streams = [(self._seed, 1)]
        for site in self._dealers:
            if site != own:
                streams.append((agree(key, self._roster[site].mask_key), 1 if own < site else -1))
        for secret, sign in streams:
            add_mask(message.counts, COUNTS, derive_key(secret, "counts", self._hash), sign)
            add_mask(message.values, ring, derive_key(secret, "values", self._hash), sign)
        return write_masked(message)
