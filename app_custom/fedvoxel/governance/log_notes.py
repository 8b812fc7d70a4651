"""What a process keeps of an audit log to have its head signed, or to sign another's, without reading all of it again.

A log of years has a hundred thousand entries, and is asked about after every round.
"""

from dataclasses import dataclass, field

from fedvoxel.records.chain_entry import FIRST, Entry


@dataclass
class ServerNotes:
    """Is what a server needs of its log to show it to sites.

    Attributes:
        hashes: Of all entries, in their order.
        known: By site, how many entries it has said or shown that it has signed.
    """

    hashes: list[str] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def note(self, entry: Entry) -> None:
        """Takes the next entry."""
        self.hashes.append(entry.hash)
        if entry.body.get("kind") == "countersignature" and "log_entries" in entry.body:
            self.known[str(entry.body.get("site"))] = int(entry.body["log_entries"])


@dataclass
class SiteNotes:
    """Is what a site needs of its own log to sign a server's.

    Attributes:
        own: How many entries its log has, and the hash of the last.
        signed: The entry of the head that it has signed last; None where it may sign any log of the server's.
    """

    own: tuple[int, str] = (0, FIRST)
    signed: Entry | None = None

    def note(self, entry: Entry) -> None:
        """Takes the next entry."""
        self.own = entry.index + 1, entry.hash
        if entry.body.get("kind") == "gap":
            self.signed = None
        if entry.body.get("kind") == "countersignature" and entry.body.get("outcome") == "done":
            self.signed = entry
