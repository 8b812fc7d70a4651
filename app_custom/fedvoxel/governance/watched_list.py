"""The revocation list of a running server: watched, taken over when it is good, and kept when the new one is not.

The list in the kit can be replaced at any time. What is damaged, of another root, older than the one before or out of
date is not taken over: the last good one stays in force, from a copy in the server's own state that survives a restart,
and nobody new is let in until a good list is there. So a bad list never lets a revoked certificate back in.
"""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.identity import load_roots
from fedvoxel.records.revocation import LIST_FILE, check_list, check_list_is_of_now, number_of, read_lists


class WatchedList:
    """Is the list in a kit, and the last good one.

    Attributes:
        roots: The roots that are trusted.
        revoked: The serial numbers of all revoked certificates, by the last good list.
        trouble: Why the list in the kit cannot be relied on; None while it can.
        version: Grows whenever a new list or another set of roots is taken over.
    """

    def __init__(self, startup: Path, state: Path) -> None:
        """Touches no file.

        Args:
            startup: The kit's `startup/` folder, with the roots and the list.
            state: The kit's `state/` folder, for the copy of the last good list.
        """
        self._root_file, self._file = startup / "rootCA.pem", startup / LIST_FILE
        self.kept = state / "certificates" / LIST_FILE
        self.roots: tuple[x509.Certificate, ...] = ()
        self.revoked: frozenset[int] = frozenset()
        self.trouble: str | None = "the revocation list has not been read yet"
        self.version = 0

    def look(self, now: datetime | None = None) -> None:
        """Reads the roots and the list anew, and takes the list over if it is good; never raises for a bad one.

        Args:
            now: The time to judge by (aware); the present when None.
        """
        now = now or datetime.now(UTC)
        try:
            roots = load_roots(self._root_file)
            lists = good_lists(self._file, roots)
            self._check_not_older(lists, roots)
            for one in lists:
                check_list_is_of_now(one, now)
            self._take_over(roots, lists)
            self.trouble = None
        except ConsortiumError as error:
            self.trouble = str(error)
            self._fall_back()

    def _take_over(
        self, roots: tuple[x509.Certificate, ...], lists: tuple[x509.CertificateRevocationList, ...]
    ) -> None:
        content = self._file.read_bytes()
        if self.version and roots == self.roots and self.kept.is_file() and content == self.kept.read_bytes():
            return
        write_bytes(self.kept, content, mode=0o600)
        self.roots, self.revoked = roots, _serials(lists)
        self.version += 1

    def _check_not_older(
        self, lists: tuple[x509.CertificateRevocationList, ...], roots: tuple[x509.Certificate, ...]
    ) -> None:
        if not self.kept.is_file():
            return
        before = {one.issuer: number_of(one) for one in good_lists(self.kept, roots, each=False)}
        for one in lists:
            if number_of(one) < before.get(one.issuer, 0):
                raise ConsortiumError(
                    f"the revocation list is an older one (number {number_of(one)}) than the server has had "
                    f"({before[one.issuer]}); put the newest one there"
                )

    def _fall_back(self) -> None:
        """Goes by the last good list after a restart, if there was one."""
        if self.version or not self.kept.is_file():
            return
        try:
            self.roots = load_roots(self._root_file)
            self.revoked = _serials(good_lists(self.kept, self.roots, each=False))
            self.version += 1
        except ConsortiumError as error:
            self.trouble = f"{self.trouble}; and of the copy kept of the last good one: {error}"


def good_lists(
    path: Path, roots: tuple[x509.Certificate, ...], each: bool = True
) -> tuple[x509.CertificateRevocationList, ...]:
    """Returns a file's lists of some roots, checked.

    Raises:
        ConsortiumError: A list is not signed by its root, or (with `each`) a root has none.
    """
    lists, found = read_lists(path), []
    for root in roots:
        own = [one for one in lists if one.issuer == root.subject]
        if not own and each:
            raise ConsortiumError("the revocation list was not signed by this root; ask the operator for the right one")
        for one in own:
            check_list(one, root)
        found += own
    return tuple(found)


def _serials(lists: tuple[x509.CertificateRevocationList, ...]) -> frozenset[int]:
    return frozenset(entry.serial_number for one in lists for entry in one)
