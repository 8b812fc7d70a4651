"""Whom a certificate is for, as the consortium file says it and as the certificate does."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

from fedvoxel.governance.consortium_file import ConsortiumFile, Participant
from fedvoxel.records.identity import name_of, organisation_of, role_of

HolderKind = Literal["server", "relay", "listener", "site", "person"]
"""What a certificate's holder is; a "listener" is the side of a relay that sites connect to."""

_KINDS: dict[str, HolderKind] = {"server": "server", "relay": "relay", "client": "site", "admin": "person"}


@dataclass(frozen=True)
class Holder:
    """Is whom a certificate is for.

    Attributes:
        name: Its common name.
        organisation: Its organisation.
        kind: What the holder is.
        role: A person's role; None for all others.
        hosts: Further names and addresses at which others dial it.
    """

    name: str
    organisation: str
    kind: HolderKind
    role: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def subject(self) -> x509.Name:
        """Is the certificate's subject, as FLARE writes it: a person's role is the unstructured name."""
        parts = [
            (NameOID.COMMON_NAME, self.name),
            (NameOID.ORGANIZATION_NAME, self.organisation),
            (NameOID.UNSTRUCTURED_NAME, self.role),
        ]
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])

    @property
    def alternative_names(self) -> x509.SubjectAlternativeName:
        """Are the name and the hosts, as the other side of a connection looks for them."""
        return x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys((self.name, *self.hosts))])

    @property
    def listens(self) -> bool:
        """Says whether others connect to it."""
        return self.kind in ("server", "listener")


def holders_of(described: ConsortiumFile) -> tuple[Holder, ...]:
    """Returns everyone whom a consortium file gives a certificate, a relay for each of its two sides."""
    found = []
    for participant in described.participants:
        found.append(_holder(participant))
        if participant.listening_host:
            hosts = (participant.listening_host.default_host, *(participant.listening_host.host_names or ()))
            found.append(Holder(participant.name, participant.org, "listener", None, hosts))
    return tuple(found)


def holder_in(certificate: x509.Certificate, kind: HolderKind) -> Holder:
    """Returns whom a certificate is for; what kind its holder is does not stand in it, nor are its hosts read."""
    return Holder(name_of(certificate), organisation_of(certificate), kind, role_of(certificate) or None)


def _holder(participant: Participant) -> Holder:
    hosts = tuple(filter(None, [participant.default_host, *(participant.host_names or ())]))
    return Holder(participant.name, participant.org, _KINDS[participant.type], participant.role, hosts)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
