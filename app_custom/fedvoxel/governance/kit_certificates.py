"""The certificate files of a kit's `startup/` folder, laid out for the builder that makes the kits.

For development, keys are made here too, one for everyone, and a key and its certificate are taken over from the kit
before while they are good. Where participants keep their keys to themselves, only a certificate is laid out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import Authority, written
from fedvoxel.governance.authority_store import ROOT_FILE
from fedvoxel.governance.certificate_register import Issued, Register
from fedvoxel.governance.certificate_request import key_bytes
from fedvoxel.governance.holder import Holder
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.identity import CROSS_FILE
from fedvoxel.records.revocation import LIST_FILE

_BITS = 2048


@dataclass(frozen=True)
class KitCertificates:
    """Lays out certificate files for new kits.

    Attributes:
        folder: The authority's folder.
        opened: Opens the authority; called only if a certificate has to be issued.
        days: How long certificates are valid.
        target: Where the files go, in a folder for each participant.
    """

    folder: Path
    opened: Callable[[], Authority]
    days: int
    target: Path

    def lay_out(self, holder: Holder, certificate: x509.Certificate, key: bytes | None = None) -> None:
        """Writes a holder's certificate, the root and the revocation list, and the key where it is given."""
        place = self.target / holder.name
        name = "server" if holder.listens else "client"
        write_bytes(place / f"{name}.crt", written(self.folder, certificate))
        if key is not None:
            write_bytes(place / f"{name}.key", key, mode=0o600)
        for shared in (ROOT_FILE, LIST_FILE, CROSS_FILE):
            if (self.folder / shared).is_file():
                write_bytes(place / shared, (self.folder / shared).read_bytes())

    def issue(self, holder: Holder, key: rsa.RSAPublicKey) -> x509.Certificate:
        """Issues a certificate for a key that its holder keeps, lays its files out, and returns it."""
        certificate = self.opened().issue(holder, key, self.days)
        self.lay_out(holder, certificate)
        return certificate

    def lay_out_all(self, holders: tuple[Holder, ...], before: Callable[[str], Path | None]) -> None:
        """Lays out everyone's files, with keys: those of the kit before where they are good, else new ones.

        Args:
            holders: Everyone.
            before: Returns the kit that a participant had before, if any.

        Raises:
            ConsortiumError: Somebody's organisation or role is another than in a certificate that is still good; or
                a certificate has to be issued and the authority does not open.
        """
        register, now = Register(self.folder), datetime.now(UTC)
        good = [one for one in register.issued() if one.is_good(now)]
        for holder in holders:
            kept = next(_kept(holder, good, before(holder.name)), None)
            if kept is None:
                new = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
                kept = self.opened().issue(holder, new.public_key(), self.days), key_bytes(new)
            self.lay_out(holder, *kept)


def _kept(holder: Holder, good: list[Issued], kit: Path | None) -> Iterator[tuple[x509.Certificate, bytes]]:
    """Yields a holder's certificate and key from the kit before, if the register still has them as good."""
    own = [one for one in good if (one.holder.name, one.holder.kind) == (holder.name, holder.kind)]
    for one in own:
        if one.certificate.subject != holder.subject:
            raise ConsortiumError(
                f"{holder.name} has a valid certificate as {_described(one.holder)}, and the file says "
                f"{_described(holder)}; withdraw that one first: fedvoxel consortium revoke {holder.name}"
            )
    for one in reversed(own):
        if (
            kit is not None
            and one.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            == holder.alternative_names
        ):
            try:
                name = "server" if holder.listens else "client"
                content = (kit / "startup" / f"{name}.key").read_bytes()
                key = serialization.load_pem_private_key(content, None)
            except (OSError, ValueError, TypeError):
                continue
            if key.public_key() == one.certificate.public_key():
                yield one.certificate, content


def _described(holder: Holder) -> str:
    return f"{holder.role or holder.kind} of {holder.organisation}"
