"""The server's own ledger of private runs: what it has received from every site, and what it has released.

It guards nobody's budget; every site keeps its own ledger. It is what a site's ledger can be held against
(`reconcile`), and what keeps a round from being released twice under hospital-level noise: two draws of noise on the
same updates would tell more than the one that the sites were charged for. One chain of hashes for the whole server.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError, LedgerError, VersionError
from fedvoxel.formats import SERVER_LEDGER, current
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger_entries import Words
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.names import ReleaseId, RunKey, Sha256

SERVER_LEDGER_FILE = "server.jsonl"
"""The name of the ledger in the server's `state/privacy/` folder."""


class Received(FrozenModel):
    """Says that a site's private update was accepted; written before its round closes.

    Attributes:
        event: What the server believes that the round cost there, by the job's privacy section.
        release_id: The site's own name for it, under which its ledger has it as sent.
        sha256: Of the arrays' bytes (`updates.weights_file.to_bytes`), as the site's ledger has it as kept.
    """

    kind: Literal["received"] = "received"
    run_key: RunKey
    job_id: Words
    site: Words
    round: int = Field(ge=0)
    event: GaussianEvent
    release_id: ReleaseId
    sha256: Sha256


class Released(FrozenModel):
    """Says that a round's noised model may leave; written after its bytes are on disk, before anybody gets them.

    Attributes:
        event: What the round cost each hospital.
        sha256: Of the model's bytes.
    """

    kind: Literal["released"] = "released"
    run_key: RunKey
    job_id: Words
    round: int = Field(ge=0)
    event: GaussianEvent
    sha256: Sha256


ServerEntry = Annotated[Received | Released, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[ServerEntry] = TypeAdapter(ServerEntry)


class ServerLedger:
    """Is the ledger on disk; every call reads it anew, so that several jobs may write to it."""

    def __init__(self, state: Path) -> None:
        """Touches no file; `state` is the `state/` folder of the server's kit."""
        self.path = state / "privacy" / SERVER_LEDGER_FILE
        self._chain = Chain(self.path)

    def read(self) -> tuple[list[Entry], list[Received | Released]]:
        """Returns the lines and what each of them says; none where there is no ledger yet.

        Raises:
            LedgerError: It cannot be read or trusted, or a line is no entry of it.
        """
        lines = self._chain.read()
        return lines, [_entry(line) for line in lines]

    def receive(self, received: Sequence[Received]) -> None:
        """Writes what a round has received, one update after the other.

        Raises:
            LedgerError: The ledger cannot be trusted or written.
        """
        if received:
            with self._chain.writing() as chain:
                chain.append_each(one.model_dump(mode="json") for one in received)

    def release(self, released: Released) -> None:
        """Writes that a round's model may leave.

        Raises:
            LedgerError: The round was released before, or the ledger cannot be trusted or written.
        """
        with self._chain.writing() as chain:
            if released.round in _released_rounds(map(_entry, chain.entries), released.run_key):
                raise LedgerError(
                    f"round {released.round} of run {released.run_key} was released before: nothing of it leaves again"
                )
            chain.append(released.model_dump(mode="json"))

    def check_same_event(self, run_key: str, event: GaussianEvent) -> None:
        """Refuses another attempt at a run under other noise than its updates were received under before.

        Raises:
            ConfigError: The noise, sampling or number of steps of a round is another.
            LedgerError: The ledger cannot be read or trusted.
        """
        received = [entry for entry in self.read()[1] if isinstance(entry, Received) and entry.run_key == run_key]
        if any(entry.event != event for entry in received):
            raise ConfigError(
                f"run {run_key} has received updates under another privacy section, and sites send them again as they "
                "are; start a new run, with a run_key of its own"
            )

    def is_released(self, run_key: str, round_index: int) -> bool:
        """Says whether a round's model may leave.

        Raises:
            LedgerError: The ledger cannot be read or trusted.
        """
        return round_index in _released_rounds(self.read()[1], run_key)

    def check_unreleased(self, run_key: str, committed: int = 0) -> None:
        """Refuses another attempt at a run that has released models under hospital-level noise, unless it goes on.

        Args:
            run_key: Names the run.
            committed: Rounds after which the attempt goes on, with the models that were released.

        Raises:
            ConfigError: Other rounds were released.
            LedgerError: The ledger cannot be read or trusted.
        """
        released = {index for index in _released_rounds(self.read()[1], run_key) if index >= committed}
        if released:
            raise ConfigError(
                f"run {run_key} has released {len(released)} rounds under hospital-level noise already, and noise on "
                "the same updates a second time would tell more than was charged; start a new run, with a run_key of "
                "its own"
            )


def _released_rounds(entries: Iterable[Received | Released], run_key: str) -> set[int]:
    return {entry.round for entry in entries if isinstance(entry, Released) and entry.run_key == run_key}


def _entry(line: Entry) -> Received | Released:
    try:
        return _ADAPTER.validate_python(
            current(SERVER_LEDGER, line.body, f"line {line.index + 1} of the server's ledger")
        )
    except VersionError as error:
        raise LedgerError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LedgerError(
            f"line {line.index + 1} of the server's ledger is no entry of this version ({key}: {first['msg']}); "
            "update fedvoxel, or put a copy of the file back"
        ) from None
