"""Sites of a test consortium that take part in secure rounds, and one whole round among them."""

import shutil
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from cryptography import x509
from numpy.typing import NDArray

from fedvoxel.records.identity import Identity, load_identity
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import agreement, session_name
from tests.tls_files import Authority

SESSION = session_name("run", 3)
TASK, AGREED = "ab" * 32, agreement({"steps": 1})


@cache
def authority() -> Authority:
    return Authority(Path(mkdtemp(prefix="fedvoxel_test_")), "consortium")


@cache
def identity(name: str) -> Identity:
    """A site's identity, read from a kit's startup folder."""
    return load_identity(startup(name))


@cache
def startup(name: str) -> Path:
    folder = Path(mkdtemp(prefix="fedvoxel_test_"))
    issued = authority().issue(name)
    shutil.copy(issued.certificate, folder / "client.crt")
    shutil.copy(issued.key, folder / "client.key")
    shutil.copy(authority().ca, folder / "rootCA.pem")
    return folder


def root() -> x509.Certificate:
    return identity("site-0").root


class Consortium:
    """A collector and its members; each stage can be gone through with some of them only."""

    def __init__(self, sites: int, dropouts: int = 1, bits: int = 16, size: int = 50, session: str = SESSION) -> None:
        self.names = [f"site-{index}" for index in range(sites)]
        self.ring, config = Ring(bits), SecureConfig(dropouts=dropouts)
        self.members = {name: Member(identity(name), session, config, TASK) for name in self.names}
        self.collector = Collector(session, Signers(root()), config, self.ring, size)
        most, random = self.ring.most(sites), np.random.default_rng(sites)
        self.values: dict[str, NDArray[np.int64]] = {
            name: random.integers(-most, most, size, endpoint=True) for name in self.names
        }
        self.agreed = dict.fromkeys(self.names, AGREED)
        self.written: dict[str, bytes] = {}

    def announce(self, without: Collection[str] = ()) -> None:
        for name in self.names:
            if name not in without:
                self.collector.add_announcement(name, _sent(self.members[name].announce()))

    def share(self, without: Collection[str] = ()) -> None:
        roster = self.collector.roster()
        for name in self.collector.sites:
            dealt = self.members[name].share(roster)
            if name not in without:
                self.collector.add_shares(name, _sent(dealt))

    def mask(self, without: Collection[str] = ()) -> None:
        dealt = self.collector.dealt()
        for index, name in enumerate(dealt):
            self.members[name].open(dealt)
            self.written[name] = self.members[name].mask(10 + index, self.values[name], self.ring, self.agreed[name])
            if name not in without:
                self.collector.add_masked(name, self.written[name])

    def confirm(self, without: Collection[str] = ()) -> None:
        for name in self.collector.alive:
            if name not in without:
                signed = self.members[name].confirm(self.collector.alive)
                self.collector.add_confirmation(name, _sent(signed))

    def reveal(self, without: Collection[str] = ()) -> None:
        confirmed = self.collector.confirmations()
        for name in confirmed:
            if name not in without:
                self.collector.add_reveal(name, _sent(self.members[name].reveal(confirmed)))

    def whole_round(self, lost: Mapping[str, Collection[str]] | None = None) -> tuple[int, NDArray[np.int64]]:
        """Goes through a round; `lost` names who vanishes in which stage."""
        gone: set[str] = set()
        for stage in ("announce", "share", "mask", "confirm", "reveal"):
            gone |= set((lost or {}).get(stage, ()))
            getattr(self, stage)(gone)
        return self.collector.total(AGREED)

    def sum_of(self, names: Collection[str]) -> NDArray[np.int64]:
        return np.sum([self.values[name] for name in names], axis=0)


def _sent(message: Any) -> Any:
    """A message as it comes out of the other end of a connection."""
    return message.model_dump(mode="json")
