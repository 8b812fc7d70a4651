"""Keeps what a site's trainer has last answered to a round, so that a round that is asked again is not trained again.

When the server dies in a round, the sites that had answered are asked once more. Their updates are kept here, each at
its own site, and not at the server: that needs none of them once it has their sum, so that it stores none. What is kept
is the trainer's answer, before any codec, mask or filter; those make the same of it again, and the hospital's policy as
it stands then decides whether it leaves. It counts for the very same question only: the same run, round, model and
words of the server, the same task, the same list of cases, and the same patients excluded. The next round's replaces
it. Under a privacy section the site's ledger keeps what leaves, and this keeps nothing.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import FedVoxelError
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.names import Sha256
from fedvoxel.training.messages import Message
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import from_bytes, to_bytes
from fedvoxel.volumes.cohort_hash import cohort_hash
from fedvoxel.volumes.exclusions import list_mark

_logger = logging.getLogger(__name__)


class KeptHead(FrozenModel):
    """Is what stands before the arrays of a kept answer.

    Attributes:
        question: Hash of what was asked.
        header: The answer's values.
    """

    schema_version: Literal[1] = 1
    question: Sha256
    header: dict[str, Any]


def kept_answer_file(folder: Path, cohort: str) -> Path:
    """Returns the file of a cohort's last answer, in the run's folder in the site's state."""
    return folder / f"answer.{cohort}.bin"


def basis_of(local: Path, cohort: str, run_id: str, task: str) -> str | None:
    """Returns the hash of what an answer rests on besides the server's message; None where its cases cannot be named.

    Args:
        local: The kit's `local/` folder.
        cohort: The job's cohort.
        run_id: The run, as the server names it.
        task: Hash of what the job asks this site to train.

    Raises:
        CohortError: Nobody can tell whether a patient was excluded.
    """
    cases = cohort_hash(local, cohort)
    return cases and sha256_of({"run": run_id, "task": task, "cases": cases, "excluded": list_mark(local).hex()})


class KeptAnswer:
    """Is the last answer of one cohort's trainer in one run."""

    def __init__(self, folder: Path, cohort: str) -> None:
        """Takes the run's folder in the site's state, and the cohort's name, which no path can be."""
        self._file = kept_answer_file(folder, cohort)

    def of(self, basis: str | None, command: dict[str, Any], model: Arrays, train: Callable[[], Message]) -> Message:
        """Returns the answer to a round: the kept one where the same was asked before, or else a new one, and keeps it.

        Args:
            basis: See `basis_of`; None keeps nothing.
            command: All that the trainer is told, as JSON.
            model: What it trains from.
            train: Has the trainer do it.

        Raises:
            FedVoxelError: The trainer could not.
        """
        asked = {"basis": basis, "command": command, "model": hashlib.sha256(to_bytes(model)).hexdigest()}
        question, index = sha256_of(asked), command.get("round")
        kept = self._read(question) if basis else None
        if kept:
            _logger.info("event=answer_sent_again round=%s", index)
            return kept
        self._file.unlink(missing_ok=True)
        answer = train()
        _logger.info("event=trained round=%s", index)
        if basis:
            self._keep(question, answer)
        return answer

    def _read(self, question: str) -> Message | None:
        try:
            sha256, _, content = read_plain(self._file, MOST_ARRAYS_BYTES).partition(b"\n")
            if sha256.decode("ascii") != hashlib.sha256(content).hexdigest():
                raise ValueError("the file has changed")
            said, _, arrays = content.partition(b"\n")
            head = parse_config(KeptHead, json.loads(said), "a kept answer")
            answer = Message(head.header, from_bytes(arrays) if arrays else {})
        except FileNotFoundError:
            return None
        except (ValueError, OSError, RecursionError, FedVoxelError) as error:
            _logger.warning("event=kept_answer_unreadable type=%s", type(error).__name__)
            return None
        return answer if head.question == question else None

    def _keep(self, question: str, answer: Message) -> None:
        head = KeptHead(question=question, header=dict(answer.header)).model_dump_json().encode()
        content = head + b"\n" + (to_bytes(answer.arrays) if answer.arrays else b"")
        try:
            write_bytes(self._file, hashlib.sha256(content).hexdigest().encode() + b"\n" + content, mode=0o600)
        except OSError as error:
            # A round can do without: where it is asked again, it is trained again.
            _logger.warning("event=answer_not_kept errno=%s", error.errno)
