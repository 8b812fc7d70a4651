"""The hospital's desk: what lies in the box beside what people of the hospital said of it; runs what they approved.

An answer is kept in the site's own state before it leaves. What a crash kept from being handed over the next run hands
over, byte for byte, if the gates still let it through; what was judged before a crash and not kept is judged anew.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedvoxel.errors import ConfigError, FedVoxelError, JobError, PackageError
from fedvoxel.evaluation.judgement.told import settle
from fedvoxel.export.trust import read_trust
from fedvoxel.governance.evaluation_record import EvaluationRecord
from fedvoxel.governance.evaluation_request import Asked, content_of, read_request
from fedvoxel.governance.evaluation_ruling import Standing
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.datasite.answer import answer_file, check_minimum
from fedvoxel.ops.datasite.box import Letter, LetterBox
from fedvoxel.ops.datasite.evaluating import Means, Progress, judge, prepare
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.chain_file import file_trouble
from fedvoxel.records.chain_lock import writers_lock
from fedvoxel.records.identity import load_identity

_LOCK_TIMEOUT_S = 1.0

Counting = Callable[[], AbstractContextManager[Progress]]
"""Shows progress while a block runs."""


@dataclass(frozen=True)
class OnDesk:
    """Is one request in the box.

    Attributes:
        letter: As it lies there.
        asked: What it asks; None where it is no request that counts.
        standing: What people said; None as above.
        problem: Why it does not count; None where it does.
    """

    letter: Letter
    asked: Asked | None
    standing: Standing | None
    problem: str | None


class Desk:
    """Is the desk of one site."""

    def __init__(self, kit: Kit, box: LetterBox, datasite: str) -> None:
        """Reads nothing yet; `datasite` is the site's name in Syft."""
        self._kit, self._box, self._datasite = kit, box, datasite
        self.record = EvaluationRecord(kit)
        self._answers = self.record.folder / "answers"

    def look(self) -> list[OnDesk]:
        """Returns all requests in the box, having noted those that are new.

        Raises:
            ConfigError: The shared folder or the rule of approval cannot be used.
            ConsortiumError: The kit's root or its revocation list cannot be used.
            LedgerError: The record cannot be trusted or written.
        """
        return [self._read(letter) for letter in self._box.letters(self._datasite)]

    def find(self, beginning: str) -> tuple[OnDesk, Asked]:
        """Returns the one request in the box whose hash begins so.

        Raises:
            JobError: There is none, or more than one.
        """
        on_desk, enough = self.look(), len(beginning) >= 8
        found = [
            (one, one.asked) for one in on_desk if enough and one.asked and one.asked.content.startswith(beginning)
        ]
        if len({asked.content for _, asked in found}) == 1:
            return found[0]
        if enough and any(content.startswith(beginning) for content in self.changed(on_desk)):
            raise JobError(
                f"request {beginning[:64]} was approved, and is not in the box as it was: it was changed after the "
                "approval, or taken away; nothing was run"
            )
        raise JobError(
            f"expected at least 8 digits of the hash of one request in the box; {len(found)} begin with "
            f"{beginning[:64]!r}; see: fedvoxel datasite requests"
        )

    def changed(self, on_desk: Sequence[OnDesk]) -> tuple[str, ...]:
        """Returns the contents that were approved and do not lie in the box any more: changed since, or gone."""
        if any(one.letter.unreadable for one in on_desk):
            return ()
        there = {one.asked.content for one in on_desk if one.asked}
        return tuple(content for content in self.record.unanswered() if content not in there)

    def look_and_lapse(self) -> tuple[list[OnDesk], tuple[str, ...]]:
        """Returns all requests in the box, and the contents that were approved and are not there as they were.

        The approvals of the latter count no more. Where a file cannot be read just now, nobody knows, and none lapses.

        Raises:
            As `look`.
        """
        # Read before the box: what comes and is approved while we look is not missed there.
        approved, on_desk = self.record.unanswered(), self.look()
        found = tuple(content for content in self.changed(on_desk) if content in approved)
        for content in found:
            self.record.note_lapsed(content)
        return on_desk, found

    def reject(self, found: OnDesk) -> None:
        """Tells the sender that the request was rejected, and nothing else."""
        self._box.reject(found.letter)

    def run(self, found: OnDesk, index: Path, means: Means, counting: Counting) -> str:
        """Does what is to be done for a request: judges it if it is approved, hands over an answer that was kept.

        Args:
            found: The request.
            index: The hospital's index of releases.
            means: What the evaluation may take.
            counting: Shows progress.

        Returns:
            "returned", "handed over again", or "nothing to do".

        Raises:
            JobError: It is not approved, or the box does not take its answer.
            FedVoxelError: A gate refused it, which is in the site's audit log.
        """
        asked = found.asked
        if asked is None:
            raise JobError(f"this is no request that could run: {found.problem}")
        with writers_lock(self._answers / "evaluation", _LOCK_TIMEOUT_S):
            word = self.record.standing(asked).word
            if word == "returned":
                return self._hand_over_again(found.letter, asked, index)
            self._check_may_run(found.letter, asked)
            answer = self._answer(found.letter, asked, index, means, counting)
            with file_trouble(self._kept(asked)):
                write_bytes(self._kept(asked), answer, mode=0o600)
            self.record.note_returned(asked, content_of(answer))
            self._box.hand_over(found.letter, answer)
        return "returned"

    def _answer(self, letter: Letter, asked: Asked, index: Path, means: Means, counting: Counting) -> bytes:
        try:
            prepared = prepare(self._kit, index, asked.request)
            with counting() as progress:
                judged = judge(prepared, asked.request, means, progress)
            # That took a while: what was withdrawn, stopped or refused meanwhile lets nothing out.
            again = prepare(self._kit, index, asked.request)
            self._check_may_run(letter, asked)
            aggregate = settle(self._kit.state, judged, again.minimum_patients)
        except FedVoxelError as error:
            self.record.note_refusal(asked, " ".join(str(error).split()))
            raise
        return answer_file(asked, aggregate, load_identity(self._kit.startup), datetime.now(UTC))

    def _check_may_run(self, letter: Letter, asked: Asked) -> None:
        word = self.record.standing(asked).word
        if word != "approved":
            raise JobError(f"request {asked.content[:12]} is {word}, not approved: nothing leaves for it")
        whose = (letter.job, letter.sender)
        there = (one.status for one in self._box.letters(self._datasite) if (one.job, one.sender) == whose)
        status = next(there, "gone")
        if status == "rejected":
            raise JobError(f"request {asked.content[:12]} was rejected in Syft, which is final there: nothing leaves")
        if status not in ("pending", "done"):
            raise JobError(f"request {asked.content[:12]} is {status} in the box, and not by us: nothing leaves")

    def _hand_over_again(self, letter: Letter, asked: Asked, index: Path) -> str:
        try:
            kept = read_plain(self._kept(asked))
        except OSError:
            raise JobError(
                "the answer that was kept cannot be read: approve the request again to run it anew"
            ) from None
        if self._box.answer_to(letter, self._datasite) == kept:
            return "nothing to do"
        try:
            check_minimum(kept, prepare(self._kit, index, asked.request).minimum_patients)
        except FedVoxelError as error:
            self.record.note_refusal(asked, " ".join(str(error).split()))
            raise
        self.record.note_returned(asked, content_of(kept))
        self._box.hand_over(letter, kept)
        return "handed over again"

    def _kept(self, asked: Asked) -> Path:
        return self._answers / f"{asked.content}.json"

    def _read(self, letter: Letter) -> OnDesk:
        if letter.file is None:
            return OnDesk(letter, None, None, "it holds no code/request.json that can be read")
        now, trust = datetime.now(UTC), read_trust(self._kit.folder)
        try:
            asked = read_request(letter.file, self._kit.name, trust, now)
        # A revocation list that is out of date says nothing of the request, and goes through to who looks.
        except (ConfigError, PackageError) as error:
            return OnDesk(letter, None, None, str(error))
        if asked.asker.name != letter.sender:
            return OnDesk(letter, None, None, "it came in the folder of another person than the one who signed it")
        self.record.note_arrival(asked)
        return OnDesk(letter, asked, self.record.standing(asked, now), None)
