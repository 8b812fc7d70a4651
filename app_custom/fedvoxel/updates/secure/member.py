"""A site's side of one secure round: its answers, each given once and in this order, and then nothing is left of it.

What the server can learn is bound by what this side refuses: a roster or a sum of too few sites, sites that the
hospital does not know, a list of who is in the sum that not enough of the others have signed.
"""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.records.identity import Identity
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.masked import add_masks, plain, write_masked
from fedvoxel.updates.secure.public_keys import agree, public_hex
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
from fedvoxel.updates.secure.shares import SECRET_BYTES, commitment, deal, mask_private_key, seal, unseal
from fedvoxel.updates.secure.terms import ANY, Terms

_logger = logging.getLogger(__name__)

_STEPS = ("announce", "share", "open", "mask", "confirm", "reveal")

MOST_SITES = 1000
"""Most sites of one roster; everybody checks the signatures of all."""


class Member:
    """Takes part in one round for one site."""

    def __init__(self, identity: Identity, session: str, config: SecureConfig, task: str, terms: Terms = ANY) -> None:
        """Draws the round's secrets from the operating system.

        Args:
            identity: The site's.
            session: Names run, round and attempt; see `session.session_name`.
            config: The job's setting.
            task: SHA-256, hexadecimal, of what this site was told to train, on which cases.
            terms: What the hospital asks of the round.
        """
        self._identity, self._session, self._config = identity, session, config
        self._task, self._terms = task, terms
        self._signers = Signers(identity.root, terms.lists)
        self._seal_key = X25519PrivateKey.generate()
        self._seed, self._key_secret = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)
        self._next: str | None = _STEPS[0]
        self._held: dict[str, tuple[bytes, bytes]] = {}

    @property
    def sites(self) -> int:
        """Is the number of sites of the roster; what a ring has to hold."""
        return len(self._roster)

    @property
    def roster(self) -> list[str]:
        """Are the sites of the roster."""
        return list(self._roster)

    @property
    def stay(self) -> int:
        """Is how many of them have to stay to the end."""
        return self._threshold

    @property
    def colluders(self) -> int:
        """Is how many of the other sites may side with the server, by the hospital's terms."""
        return self._terms.colluders

    def announce(self) -> Announcement:
        """Returns this site's public keys, signed."""
        with self._step("announce"):
            unsigned = Announcement(
                protocol=PROTOCOL,
                session=self._session,
                site=self._identity.name,
                certificate=self._identity.certificate,
                task=self._task,
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
        with self._step("share"):
            if len(announced) > MOST_SITES:
                raise UpdateError(f"a roster of {len(announced)} sites, expected {MOST_SITES} at most")
            self._roster = roster_of([read_announcement(each, self._session, self._signers) for each in announced])
            if self._roster.get(self._identity.name) != self._own:
                raise UpdateError("a roster without this site's own keys")
            self._threshold = self._terms.check(self._roster, self._identity.name, self._config)
            self._hash = roster_hash(self._roster)
            return self._dealt()

    def open(self, dealt: Mapping[str, Any]) -> None:
        """Takes what each site has dealt, by dealer: the sites whose masks have to cancel.

        A share that cannot be opened, or is not what its dealer is tied to, is left out: it costs that dealer's
        recovery one share, and nobody a part in the round.

        Raises:
            UpdateError: Too few sites have dealt.
        """
        with self._step("open"):
            dealers = sorted(set(dealt) & set(self._roster))
            if len(dealers) < len(dealt) or self._identity.name not in dealers or len(dealers) < self._threshold:
                raise UpdateError(f"shares of {len(dealers)} sites, expected {self._threshold} of the roster at least")
            self._dealers = dealers
            for dealer in dealers:
                try:
                    self._held[dealer] = self._opened(dealer, read(SealedShares, dealt[dealer], "sealed shares"))
                except UpdateError as error:
                    _logger.warning("event=shares_unusable dealer=%s reason=%s", dealer, error)

    def mask(self, cases: int, values: NDArray[np.int64], ring: Ring, agreed: bytes) -> bytes:
        """Returns this site's masked message.

        Args:
            cases: This site's number of cases, or what stands for it.
            values: Whole numbers, shape (values,), of magnitude at most `ring.most(sites)`.
            ring: Where they are added up.
            agreed: See `session.agreement`; the pairs' masks cancel only between sites that agree.

        Raises:
            UpdateError: A value is larger than what cannot overflow.
        """
        with self._step("mask"):
            if values.size and int(np.abs(values).max()) > ring.most(self.sites):
                raise UpdateError("a value so large that the sum could overflow")
            return self._masked(cases, values, ring, agreed)

    def confirm(self, alive: Sequence[str]) -> Confirmation:
        """Returns this site's signature of who is in the sum.

        Raises:
            UpdateError: They are too few, or not sites of this round, or this site is not among them.
        """
        with self._step("confirm"):
            self._alive = sorted({str(site) for site in alive})
            if not set(self._alive) <= set(self._dealers) or len(self._alive) < self._threshold:
                raise UpdateError(
                    f"a sum of {len(self._alive)} sites, expected {self._threshold} of the round at least"
                )
            if self._identity.name not in self._alive:
                raise UpdateError("a sum without this site")
            return Confirmation(signature=self._identity.sign(confirmed_bytes(self._hash, self._alive)))

    def reveal(self, confirmations: Mapping[str, str]) -> Revealed:
        """Returns shares of the seeds of the sites in the sum, and of the keys of those that dropped out.

        Raises:
            UpdateError: Not enough of the sites in the sum have signed the same list.
        """
        with self._step("reveal"):
            content = confirmed_bytes(self._hash, self._alive)
            signed = set(confirmations) & set(self._alive)
            if not all(isinstance(confirmations[site], str) for site in signed):
                raise UpdateError("a confirmation that is no signature")
            for site in signed:
                self._signers.check_signed(site, self._roster[site].certificate, content, confirmations[site])
            if len(signed) < self._threshold:
                raise UpdateError(f"{len(signed)} signatures of who is in the sum, expected {self._threshold} at least")
            gone = sorted(set(self._dealers) - set(self._alive))
            revealed = Revealed(
                own=self._seed.hex(),
                seeds={site: self._held[site][0].hex() for site in self._alive if site in self._held},
                keys={site: self._held[site][1].hex() for site in gone if site in self._held},
            )
        self._held.clear()
        self._seed = self._key_secret = b""
        return revealed

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Takes one step, in its place and once; a step that fails ends this site's part in the round."""
        if self._next != name:
            raise UpdateError(f"a secure round out of order: expected {self._next or 'nothing more'}, got {name}")
        self._next = None
        yield
        later = _STEPS[_STEPS.index(name) + 1 :]
        self._next = later[0] if later else None

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

    def _masked(self, cases: int, values: NDArray[np.int64], ring: Ring, agreed: bytes) -> bytes:
        message, own = plain(ring, cases, values, self._hash), self._identity.name
        add_masks(message, self._seed, self._hash)
        key = mask_private_key(self._key_secret)
        for site in self._dealers:
            if site != own:
                secret = agree(key, self._roster[site].mask_key)
                add_masks(message, secret, self._hash + agreed, 1 if own < site else -1)
        return write_masked(message)
