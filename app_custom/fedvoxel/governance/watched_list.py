"""The revocation list of a running server: watched, taken over when it is good, and kept when the new one is not.

The list in the kit can be replaced at any time. What is damaged, of another root, older than the one before or out of
date is not taken over: the last good one stays in force, from a copy in the server's own state that survives a restart,
and nobody new is let in until a good list is there. So a bad list never lets a revoked certificate back in.

The copy is there twice, so that bytes of one may change, and is not needed by a running server: a good list is in force
at once, also where a full disk takes no copy of it.
"""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.identity import load_roots
from fedvoxel.records.revocation import (
    LIST_FILE,
    check_list,
    check_list_is_of_now,
    lists_in,
    number_of,
    read_lists,
    read_with_lists,
)

_SECOND_FILE = "crl.copy.pem"

_Roots = tuple[x509.Certificate, ...]
_Lists = tuple[x509.CertificateRevocationList, ...]


class WatchedList:
    """Is the list in a kit, and the last good one.

    Attributes:
        roots: The roots that are trusted.
        revoked: The serial numbers of all revoked certificates, by the last good list.
        trouble: Why the list in the kit cannot be relied on; None while it can.
        unkept: Why the last good list, which is in force, is not in its copies; None while it is.
        version: Grows whenever a new list or another set of roots is taken over.
    """

    def __init__(self, startup: Path, state: Path) -> None:
        """Touches no file.

        Args:
            startup: The kit's `startup/` folder, with the roots and the list.
            state: The kit's `state/` folder, for the copies of the last good list.
        """
        self._root_file, self._file = startup / "rootCA.pem", startup / LIST_FILE
        self.kept = state / "certificates" / LIST_FILE
        self._copies = (self.kept, self.kept.with_name(_SECOND_FILE))
        self.roots: _Roots = ()
        self.revoked: frozenset[int] = frozenset()
        self.trouble: str | None = "the revocation list has not been read yet"
        self.unkept: str | None = None
        self.version = 0
        self._content = b""

    @property
    def in_force(self) -> Path | None:
        """Is a file that holds the last good list: a copy, or the kit's own where no copy could be written."""
        return next((place for place in (*self._copies, self._file) if self._is_in(place)), None)

    def lists_now(self, now: datetime) -> _Lists:
        """Looks, and returns the lists in force: the kit's also where a full disk has kept them out of the copies.

        Args:
            now: The time to judge by (aware).

        Raises:
            ConsortiumError: No list can be relied on, and there is one: kits of old have none.
        """
        self.look(now)
        lists = _checked(lists_in(self._content), self.roots, each=False) if self.version else ()
        if not lists and any(place.exists() for place in (*self._copies, self._file)):
            raise ConsortiumError(str(self.trouble))
        return lists

    def look(self, now: datetime | None = None) -> None:
        """Reads the roots and the list anew, and takes the list over if it is good; never raises for a bad one.

        Args:
            now: The time to judge by (aware); the present when None.
        """
        now = now or datetime.now(UTC)
        try:
            roots = load_roots(self._root_file)
            if not self.version:
                self._fall_back(roots)
            content, there = read_with_lists(self._file)
            lists = _checked(there, roots)
            self._check_not_older(lists, roots)
            for one in lists:
                check_list_is_of_now(one, now)
            self._take_over(roots, content, lists)
            self.trouble = None
        except ConsortiumError as error:
            self.trouble = str(error)
        if self.version:
            self._keep()

    def _take_over(self, roots: _Roots, content: bytes, lists: _Lists) -> None:
        if (roots, content) != (self.roots, self._content):
            self.roots, self.revoked, self._content = roots, _serials(lists), content
            self.version += 1

    def _keep(self) -> None:
        """Writes the copies that do not hold the last good list; what cannot be written is tried again."""
        try:
            for place in self._copies:
                if not self._is_in(place):
                    write_bytes(place, self._content, mode=0o600)
            self.unkept = None
        except OSError as error:
            self.unkept = f"the revocation list, state/certificates/{LIST_FILE} ({error.strerror})"

    def _is_in(self, place: Path) -> bool:
        try:
            return bool(self.version) and read_plain(place) == self._content
        except OSError:
            return False

    def _check_not_older(self, lists: _Lists, roots: _Roots) -> None:
        if not self.version:
            return
        before = {one.issuer: number_of(one) for one in _checked(lists_in(self._content), roots, each=False)}
        for one in lists:
            if number_of(one) < before.get(one.issuer, 0):
                raise ConsortiumError(
                    f"the revocation list is an older one (number {number_of(one)}) than the server has had "
                    f"({before[one.issuer]}); put the newest one there"
                )

    def _fall_back(self, roots: _Roots) -> None:
        """Goes by the last good list after a restart, if there was one: by the newer of its copies.

        Raises:
            ConsortiumError: There was one, and nothing is left of it: an older list could not be told from a new one.
        """
        there = [place for place in self._copies if place.is_file()]
        good = [found for place in there if (found := _copy(place, roots))]
        if good:
            self._take_over(roots, *max(good, key=lambda one: (max(map(number_of, one[1]), default=0), len(one[1]))))
        elif there:
            raise ConsortiumError(
                "both copies of the last good revocation list are damaged: put the operator's newest list into "
                f"startup/{LIST_FILE}, and remove {LIST_FILE} and {_SECOND_FILE} from state/certificates"
            )


def good_lists(path: Path, roots: _Roots) -> _Lists:
    """Returns a file's lists of some roots, checked.

    Raises:
        ConsortiumError: A list is not signed by its root, or a root has none.
    """
    return _checked(read_lists(path), roots)


def _checked(lists: _Lists, roots: _Roots, each: bool = True) -> _Lists:
    """Returns those of some lists that are of some roots; with `each`, every root must have one."""
    found: list[x509.CertificateRevocationList] = []
    for root in roots:
        own = [one for one in lists if one.issuer == root.subject]
        if not own and each:
            raise ConsortiumError("the revocation list was not signed by this root; ask the operator for the right one")
        for one in own:
            check_list(one, root)
        found += own
    return tuple(found)


def _copy(place: Path, roots: _Roots) -> tuple[bytes, _Lists] | None:
    """Returns a copy of the last good list; None where it is damaged."""
    try:
        content, there = read_with_lists(place)
        return content, _checked(there, roots, each=False)
    except ConsortiumError:
        return None


def _serials(lists: _Lists) -> frozenset[int]:
    return frozenset(entry.serial_number for one in lists for entry in one)
