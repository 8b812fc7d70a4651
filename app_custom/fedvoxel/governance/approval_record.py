"""What came to a site and what its people said about it, as it stands at one moment; reads and writes no file."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fedvoxel.errors import JobError

Word = Literal["approved", "refused"]


@dataclass(frozen=True)
class Arrival:
    """Is what came to the site.

    Attributes:
        content: The hash of what would run.
        job: Its name.
        job_id: FLARE's.
        submitter: Who submitted it, as the signature of the content proves.
        organisation: Of the submitter.
    """

    content: str
    job: str
    job_id: str
    submitter: str
    organisation: str


@dataclass(frozen=True)
class Decision:
    """Is what one person of the hospital said about one content; `reason` is for a refusal."""

    content: str
    job: str
    word: Word
    person: str
    at: str
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """Is what is known at one moment: arrivals and decisions that count, in order."""

    arrivals: tuple[Arrival, ...]
    decisions: tuple[Decision, ...]

    def last_words(self, content: str) -> dict[str, Decision]:
        """Returns what each person said last about a content."""
        return {said.person: said for said in self.decisions if said.content == content}

    def approved_by(self, content: str) -> tuple[str, ...]:
        """Returns whose last word on a content is an approval, sorted."""
        return tuple(sorted(name for name, said in self.last_words(content).items() if said.word == "approved"))

    def refused_by(self, content: str) -> tuple[str, ...]:
        """Returns whose last word on a content is a refusal, sorted."""
        return tuple(sorted(name for name, said in self.last_words(content).items() if said.word == "refused"))

    def last_approved(self, job: str, but: str, stands: Callable[[str], bool]) -> str | None:
        """Returns the content of that name that was approved last, other than `but`.

        Args:
            job: The name.
            but: The content to leave out.
            stands: Says whether a content has all the approvals that it needs, and no refusal.
        """
        found = [said.content for said in self.decisions if said.job == job and said.content != but]
        return next((content for content in reversed(found) if self.approved_by(content) and stands(content)), None)

    @property
    def contents(self) -> tuple[str, ...]:
        """Are all contents that came or were decided about, in order."""
        return tuple(
            dict.fromkeys([each.content for each in self.arrivals] + [each.content for each in self.decisions])
        )


def find_content(record: Record, beginning: str) -> str:
    """Returns the one content whose hash begins so.

    Raises:
        JobError: There is none, or more than one.
    """
    found = [content for content in record.contents if len(beginning) >= 8 and content.startswith(beginning)]
    if len(found) != 1:
        raise JobError(
            f"expected a job folder, or at least 8 digits of the hash of one job that came; {len(found)} begin with "
            f"{beginning[:64]!r}; see: fedvoxel site approvals"
        )
    return found[0]
