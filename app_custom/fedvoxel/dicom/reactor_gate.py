"""Keeps pynetdicom's own thread from taking the answers that a caller waits for.

An association has a thread, its reactor, that looks for messages of the peer. While a caller waits for answers it is
paused: the caller clears an event and looks at a flag that says whether the reactor waits for it. The reactor raises
the flag before it waits, and lowers it after: where it had just been let through, the flag is still up, the caller goes
on, and both read. An answer that the reactor gets is dropped, so that a query finds less than there is, and nobody
knows. It happens on a busy machine (pynetdicom 3.0.4).
"""

import threading

from pynetdicom.association import Association

_LOOK_S = 0.01


class ReactorGate(threading.Event):
    """Is the event that a reactor waits for; clearing it returns once the reactor stands still.

    Args:
        reactor: The only thread that waits for it.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        super().__init__()
        self._reactor, self._open, self._inside = reactor, True, False
        self._changed = threading.Condition()

    def is_set(self) -> bool:
        """Says whether the reactor may run."""
        return self._open

    def set(self) -> None:
        """Lets the reactor run."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Stops the reactor, and waits until it stands still or has ended; the reactor itself does not wait."""
        with self._changed:
            self._open = False
            while not self._inside and self._reactor.is_alive() and self._reactor is not threading.current_thread():
                self._changed.wait(_LOOK_S)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the reactor may run."""
        with self._changed:
            self._inside = True
            self._changed.notify_all()
            opened = self._changed.wait_for(lambda: self._open, timeout)
            self._inside = False
            return opened


def keep_answers(association: Association) -> None:
    """Puts a gate before an association's reactor."""
    association._reactor_checkpoint = ReactorGate(association)
