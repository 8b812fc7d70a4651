"""Takes over the certificate authority of a workspace that was made before FedVoxel had its own.

FLARE keeps the root's key and everybody's private key unencrypted in `state/cert.json`. The root goes on as it is, its
key under a passphrase now, everybody's certificate is entered in the register, and that file is removed: participants
have their keys in their kits.
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import Authority, Root
from fedvoxel.governance.authority_store import save_authority
from fedvoxel.governance.certificate_register import Issued
from fedvoxel.governance.holder import Holder
from fedvoxel.records.pem import certificate_in


def adopt_authority(
    state: Path, folder: Path, key_folder: Path, holders: tuple[Holder, ...], passphrase: str | None, list_days: int
) -> Authority:
    """Makes an authority of FLARE's state, and removes that.

    Args:
        state: FLARE's `cert.json`.
        folder: Where the authority goes.
        key_folder: Where its encrypted key goes.
        holders: Everyone in the consortium file.
        passphrase: Encrypts the key.
        list_days: How long the first revocation list holds.

    Raises:
        ConsortiumError: The state cannot be read, or there is no passphrase.
    """
    if passphrase is None:
        raise ConsortiumError("this workspace has an authority of FLARE's; give a passphrase, under which it is kept")
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
        certificate = certificate_in(content["root_cert"].encode("ascii"))
        key = serialization.load_pem_private_key(content["root_pri_key"].encode("ascii"), password=None)
        known = [
            Issued(certificate_in(content[holder.name]["cert"].encode("ascii")), holder)
            for holder in holders
            if holder.name in content and holder.kind != "listener"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConsortiumError(
            f"{state} is not FLARE's state of a certificate authority; put its backup there"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConsortiumError("the authority of this workspace has a key that is not RSA")
    made = Authority(folder, (Root(certificate, key),))
    save_authority(made, key_folder, passphrase)
    for one in known:
        made.register.note_issued(one)
    made.sign_list(list_days)
    state.unlink()
    return made
