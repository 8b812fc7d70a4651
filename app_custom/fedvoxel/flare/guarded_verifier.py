"""What FLARE's server asks whether a certificate proves a name: its own check, for each trusted root, and the list."""

from collections.abc import Callable
from typing import Any

from cryptography import x509
from nvflare.private.fed.utils.identity_utils import IdentityVerifier, InvalidAsserterCert

from fedvoxel.governance.watched_list import WatchedList

Came = Callable[[str, x509.Certificate], None]
"""Is told who comes with which certificate, before they are let in; may raise."""


class _OneRoot(IdentityVerifier):
    """Is FLARE's check against a root that is given, not read from a file."""

    def __init__(self, root: x509.Certificate) -> None:
        self.root_cert = root
        self.root_public_key = root.public_key()


class GuardedVerifier:
    """Stands in the place of FLARE's `IdentityVerifier`."""

    def __init__(self, watched: WatchedList, came: Came, refused: Came) -> None:
        """Takes the list to go by, and who is told of those that are let in and of those that are not."""
        self._watched, self._came, self._refused = watched, came, refused

    def verify_common_name(
        self, asserted_cn: str, nonce: str, asserter_cert: x509.Certificate, signature: Any, **more: Any
    ) -> bool:
        """Checks that a certificate of this consortium, not revoked, proves a name.

        Raises:
            InvalidAsserterCert: It does not, or the list cannot be relied on.
        """
        root = next((root for root in self._watched.roots if root.subject == asserter_cert.issuer), None)
        if root is None:
            raise InvalidAsserterCert("the certificate is of no root that is trusted here")
        proved = _OneRoot(root).verify_common_name(asserted_cn, nonce, asserter_cert, signature, **more)
        trouble = self._watched.trouble
        if trouble or asserter_cert.serial_number in self._watched.revoked:
            self._refused(asserted_cn, asserter_cert)
            raise InvalidAsserterCert(trouble or "the certificate is revoked")
        self._came(asserted_cn, asserter_cert)
        return bool(proved)
