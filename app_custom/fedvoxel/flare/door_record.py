"""Writes who was refused at the server's door, and what was commanded, into its audit; no stranger can fill the disk.

Refusals come from the network's own thread and from those that carry messages: noting one never waits for the disk and
never raises. A thread writes them. The same refusal of the same caller is written at once and then counted; the count
is written a minute later. Of too many different callers only their number is kept.

Commands come from people whom the server knows, each in a thread of its own, and every one is written before it is
carried out. What cannot be written keeps nobody from anything, and is tried again until it can.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from fedvoxel.errors import FedVoxelError
from fedvoxel.records.audit import Record
from fedvoxel.records.audit_event import Actor, AuditEvent, Kind

REPEATED_S = 60.0
"""So many seconds apart are two entries about the same refusal of the same caller."""

MOST_CALLERS = 500
"""So many different refusals are named within `REPEATED_S`; of the rest there is a number."""

MOST_COMMANDS = 1000
"""So many commands are kept while they cannot be written; of the rest there is a number."""

_MOST_CHARACTERS = 200

logger = logging.getLogger(__name__)

_KINDS: dict[str, Kind] = {"command": "command", "submit_job": "command", "register": "registration"}

Key = tuple[str, str, str]


@dataclass
class _Repeated:
    """Counts a refusal since it was last written; `written_at` is when that was last tried."""

    count: int = 1
    written_at: float | None = None


@dataclass
class DoorRecord:
    """Takes refusals at the door, and commands, and hands them to the audit."""

    record: Record
    repeated_s: float = REPEATED_S
    _seen: dict[Key, _Repeated] = field(default_factory=dict)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _commands: deque[AuditEvent] = field(default_factory=deque)
    _unnamed: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Starts the thread that writes; it ends with the process."""
        threading.Thread(target=self._write_for_ever, name="door-record", daemon=True).start()

    def refused(self, task: str, who: str, reason: str) -> None:
        """Notes a refusal.

        Args:
            task: What was asked for: "connect", "register", "log_in", "command", "submit_job", or "message" for
                anything else.
            who: An address, or the name that a certificate proves.
            reason: Why it was refused.
        """
        key = task, _plain(who) or "unknown", _plain(reason)
        with self._news:
            if key not in self._seen and len(self._seen) >= MOST_CALLERS:
                key = task, "others", "refused, too many callers to name"
            if key in self._seen:
                self._seen[key].count += 1
            else:
                self._seen[key] = _Repeated()
                self._news.notify()

    def commanded(self, event: AuditEvent) -> None:
        """Writes a command; it is on disk when this returns, or due again as refusals are."""
        with self._turn:
            if len(self._commands) < MOST_COMMANDS:
                self._commands.append(event)
            else:
                self._unnamed += 1
        self._write_commands()

    def _write_commands(self) -> None:
        with self._turn:
            try:
                while self._commands:
                    self.record([self._commands[0]])
                    self._commands.popleft()
                if self._unnamed:
                    reason = f"{self._unnamed} more, while the audit could not be written"
                    self.record([AuditEvent(kind="command", outcome="allowed", reason=reason)])
                    self._unnamed = 0
            except (FedVoxelError, OSError) as error:
                logger.error("event=commands_not_recorded count=%d reason=%s", len(self._commands), error)

    def write(self) -> None:
        """Writes what is due, and forgets who has not come again; what cannot be written is due again later."""
        self._write_commands()
        now, due = time.monotonic(), []
        with self._news:
            for key, seen in list(self._seen.items()):
                if seen.written_at is not None and now - seen.written_at < self.repeated_s:
                    continue
                if seen.count:
                    due.append((key, seen, seen.count))
                    seen.count, seen.written_at = 0, now
                else:
                    del self._seen[key]
        try:
            while due:
                key, _, count = due[0]
                self.record([_event(key, count)])
                del due[0]
        except (FedVoxelError, OSError) as error:
            logger.error("event=refusals_not_recorded count=%d reason=%s", len(due), error)
            with self._news:
                for _, seen, count in due:
                    seen.count += count

    def _write_for_ever(self) -> None:
        while True:
            self.write()
            with self._news:
                if not any(seen.written_at is None for seen in self._seen.values()):
                    self._news.wait(timeout=self.repeated_s / 10)


def _event(key: Key, count: int) -> AuditEvent:
    task, who, reason = key
    often = f" ({count} times)" if count > 1 else ""
    kind = _KINDS.get(task, "connection")
    return AuditEvent(kind=kind, outcome="refused", actor=Actor(name=who, role=""), task=task, reason=reason + often)


def _plain(said: str) -> str:
    """Returns printable characters only: part of it is a stranger's choice."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in said)[:_MOST_CHARACTERS]
