"""Answers a request for a certificate with a kit that has everything but the private key, which its owner has.

The kits are those of `nvflare provision`, with the same safe local policy; only the one whose certificate was just
issued is kept, packed into one file.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.flare.kit_making import make_kits
from fedvoxel.governance.answer import pack_answer
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.consortium_file import ConsortiumFile
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit_certificates import KitCertificates


@dataclass(frozen=True)
class Approved:
    """Is a request that the operator has approved."""

    holder: Holder
    key: rsa.RSAPublicKey


@dataclass(frozen=True)
class Answer:
    """Is what goes back: the file, and the certificate in it."""

    path: Path
    certificate: x509.Certificate


def answer(described: ConsortiumFile, authority: Authority, approved: Sequence[Approved], folder: Path) -> list[Answer]:
    """Issues certificates and writes `<name>.kit.zip` for each into `folder`.

    Raises:
        ConsortiumError: FLARE could not make the kits; the certificates stand in the register all the same.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".issuing-", dir=folder) as scratch:
        certificates = Path(scratch) / "certificates"
        layer = KitCertificates(authority.folder, lambda: authority, described.certificates.leaf_days, certificates)
        issued = {}
        for one in approved:
            issued[one.holder.name] = layer.issue(one.holder, one.key)
        kits = make_kits(described, certificates, Path(scratch))
        answers = []
        for name, certificate in issued.items():
            path = folder / f"{name}.kit.zip"
            pack_answer(kits / name, path)
            answers.append(Answer(path, certificate))
    return answers
