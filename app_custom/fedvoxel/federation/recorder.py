"""Collects what happened in a run, round by round, into a `RunOutcome`; tells the audit who was refused or missing.

Pure: it reads no clock and writes no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fedvoxel.errors import UpdateError
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.claim import Claim
from fedvoxel.federation.contribution_config import RoundContribution
from fedvoxel.federation.outcome import (
    MAX_REASON,
    Absences,
    FilterNote,
    ModelFile,
    RoundRecord,
    RunOutcome,
    RunStatus,
    SiteScore,
)
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.sent_bytes import BesideRounds
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.records.audit import AuditEvent, Record, unrecorded

NOTHING_CLAIMED = Claim(NO_GUARANTEE, None, ())
"""What is claimed of a run whose job cannot be read."""

_NOTE: TypeAdapter[str] = TypeAdapter(FilterNote)


def read_filter_note(value: object) -> str | None:
    """Returns what a filter of the job says that it did to an update; None where none has said anything.

    Raises:
        UpdateError: It is no short line of text.
    """
    try:
        return None if value is None else _NOTE.validate_python(value, strict=True)
    except ValidationError:
        raise UpdateError("expected a short line of text as the filter's note") from None


@dataclass(frozen=True)
class RunIdentity:
    """Names a run: its key, the FLARE job that is its present attempt, its sites, its claim, package versions.

    Attributes:
        claim: What its job may say about privacy.
        start_from: The earlier run whose model it begins with, if any.
    """

    run_key: str
    job_id: str
    job_name: str
    sites: tuple[str, ...]
    rounds_planned: int
    versions: dict[str, str]
    started: datetime
    claim: Claim = NOTHING_CLAIMED
    start_from: StartModel | None = None


@dataclass
class RoundNotes:
    """Gathers the replies of one round while it is open.

    Attributes:
        public: Sites whose own filter said, with what they replied, that their cases are declared public.
        filters: What a filter of the job said that it did to a site's update.
    """

    contributed: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    evaluation_only: list[str] = field(default_factory=list)
    loss: dict[str, float] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    contribution_bytes_down: int = 0
    public: set[str] = field(default_factory=set)
    filters: dict[str, str] = field(default_factory=dict)
    codecs: dict[Literal["up", "down"], str] = field(default_factory=dict)
    not_selected: dict[str, str] = field(default_factory=dict)
    contribution: RoundContribution | None = None

    @property
    def answered(self) -> set[str]:
        """Are the sites whose reply was taken, with or without an update."""
        return {*self.contributed, *self.evaluation_only}


class RunRecorder:
    """Keeps the notes of closed rounds and turns them into the outcome."""

    def __init__(self, identity: RunIdentity, record: Record = unrecorded) -> None:
        """Starts with no round; `record` is told of every site that was refused or missing."""
        self._identity, self._audit = identity, record
        self._notes: list[tuple[RoundNotes, float]] = []
        self.test: dict[str, SiteScore] = {}
        self.personal: dict[str, SiteScore] = {}
        self.scored_elsewhere: set[str] = set()
        """Sites that have scored a model on cases of which their own filter did not say that they are public."""
        self._unvalidated: Absences | None = None
        self._untested: Absences | None = None
        self.refused_cases: dict[str, int] = {}
        self.first_model_up = self.validation_down = self.test_down = 0
        """Bytes that were sent outside the rounds; see `BesideRounds`."""
        self.contribution_down = 0
        """Bytes of the models that were sent to be scored in the round that is open."""

    @property
    def round_seconds(self) -> list[float]:
        """Is the wall time of each closed round, in seconds."""
        return [seconds for _, seconds in self._notes]

    def close_round(self, notes: RoundNotes, seconds: float) -> None:
        """Keeps the notes of a round that ended, committed or not.

        Raises:
            LedgerError: The audit log cannot be trusted or written.
        """
        notes.contribution_bytes_down, self.contribution_down = self.contribution_down, 0
        self._notes.append((notes, seconds))
        self._tell("train", len(self._notes) - 1, notes.missing, notes.refused)

    def close_validation(self, absences: Absences) -> None:
        """Keeps who gave no score of the last model; raises what `close_round` does."""
        self._unvalidated = absences
        self._tell("validation", None, absences.missing, absences.refused)

    def close_test(self, absences: Absences) -> None:
        """Keeps who gave no score of the tested model; raises what `close_round` does."""
        self._untested = absences
        self._tell("test", None, absences.missing, absences.refused)

    def _tell(self, task: str, index: int | None, missing: Mapping[str, str], refused: Mapping[str, str]) -> None:
        key, job = self._identity.run_key, self._identity.job_id
        said = [("refused", *each) for each in refused.items()] + [("missing", *each) for each in missing.items()]
        self._audit([AuditEvent(kind, key, job, task, index, site, reason) for kind, site, reason in said])

    def outcome(
        self,
        status: RunStatus,
        reason: str | None,
        finished: datetime,
        rounds: Rounds | None,
        models: Sequence[ModelFile | None] = (None, None),
    ) -> RunOutcome:
        """Returns the record of the run as it stands.

        Args:
            status: How it ended.
            reason: Why, where the status needs a reason.
            finished: Time of the end.
            rounds: The run's rounds; None where not even an initial model was had.
            models: The files of the last and of the best model.
        """
        identity = self._identity
        return RunOutcome(
            run_key=identity.run_key,
            job_id=identity.job_id,
            job_name=identity.job_name,
            status=status,
            reason=reason and reason[:MAX_REASON],
            rounds_planned=identity.rounds_planned,
            rounds_committed=rounds.round if rounds else 0,
            best_round=rounds.best_round if rounds else None,
            sites=identity.sites,
            rounds=tuple(self._record(index, rounds) for index in range(len(self._notes))),
            model=models[0],
            best_model=models[1],
            **self._scored(),
            **self._claimed(rounds),
            beside_rounds=self._beside_rounds,
            started=identity.started,
            finished=finished,
            versions=identity.versions,
        )

    @property
    def _beside_rounds(self) -> BesideRounds:
        down = {"validation_down": self.validation_down, "test_down": self.test_down}
        return BesideRounds(first_model_up=self.first_model_up, **down)

    def _scored(self) -> dict[str, Any]:
        """Returns the outcome's values that come from the sites' cases, apart from those of single rounds."""
        scored = {"test": self.test, "personal": self.personal, "refused_cases": self.refused_cases}
        return scored | {"unvalidated": self._unvalidated, "untested": self._untested}

    def _claimed(self, rounds: Rounds | None) -> dict[str, Any]:
        """Returns the outcome's values that are about privacy."""
        claim = self._claim(rounds)
        said = {"privacy": claim.text, "guarantee": claim.guarantee, "channels": claim.channels}
        return said | {"start_from": self._identity.start_from}

    def _claim(self, rounds: Rounds | None) -> Claim:
        """Returns what may be said of the run.

        More than its job says where every site's cases were public, and less where the job had filters at the sites.
        """
        replies = [notes.answered <= notes.public for notes, _ in self._notes if notes.answered]
        known = {site for notes, _ in self._notes for site in notes.public}
        scored = {site for scores in (rounds.validation if rounds else ()) for site in scores}
        only_public = bool(replies) and all(replies) and scored <= known and not self.scored_elsewhere
        claim = self._identity.claim.on_public_cases() if only_public else self._identity.claim
        said = {site: note for notes, _ in self._notes for site, note in notes.filters.items()}
        return claim.through_filters(said) if said else claim

    def _record(self, index: int, rounds: Rounds | None) -> RoundRecord:
        notes, seconds = self._notes[index]
        scored = rounds is not None and index < len(rounds.validation)
        return RoundRecord(
            round=index,
            seconds=seconds,
            contributed=notes.contributed,
            missing=notes.missing,
            refused=notes.refused,
            evaluation_only=tuple(sorted(notes.evaluation_only)),
            loss=notes.loss,
            validation=rounds.validation[index] if rounds and scored else {},
            filters=notes.filters,
            contribution=notes.contribution,
            codecs=notes.codecs,
            not_selected=notes.not_selected,
            bytes_up=notes.bytes_up,
            bytes_down=notes.bytes_down,
            contribution_bytes_down=notes.contribution_bytes_down,
        )
