"""Collects what happened in a run, round by round, into a `RunOutcome`; tells the audit of each step.

Pure: it reads no clock and writes no file.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from pydantic import TypeAdapter

from fedvoxel.federation.absences import MAX_REASON, Absences
from fedvoxel.federation.attempts import RunStatus, repeated_rounds
from fedvoxel.federation.claim import Claim
from fedvoxel.federation.outcome import ModelFile, RoundRecord, RunOutcome, SiteScore
from fedvoxel.federation.round_events import taken_events
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.run_identity import RunIdentity
from fedvoxel.federation.sent_bytes import BesideRounds
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.federation.taking_part import joined_in
from fedvoxel.records.audit import Record, unrecorded
from fedvoxel.records.audit_event import AuditEvent, HashName, Kind, Outcome

_NOTES = TypeAdapter(list[RoundNotes])


class RunRecorder:
    """Keeps the notes of closed rounds and turns them into the outcome."""

    def __init__(self, identity: RunIdentity, record: Record = unrecorded) -> None:
        """Starts with no round; `record` is told of all that the audit keeps."""
        self._identity, self._audit = identity, record
        self._notes: list[RoundNotes] = []
        self.test: dict[str, SiteScore] = {}
        self.personal: dict[str, SiteScore] = {}
        self.scored_elsewhere: set[str] = set()
        """Sites that have scored a model on cases of which their own filter did not say that they are public."""
        self._no_first_model = Absences()
        self._first_model_from: str | None = None
        self._unvalidated: Absences | None = None
        self._untested: Absences | None = None
        self.refused_cases: dict[str, int] = {}
        self.site_versions: dict[str, str] = {}
        self.first_model_up = self.validation_down = self.test_down = 0
        """Bytes that were sent outside the rounds; see `BesideRounds`."""
        self.unscored = Absences()
        """Who gave no score of a model that `contribution` asks about in the open round."""

    @property
    def round_seconds(self) -> list[float]:
        """Is the wall time of each closed round, in seconds."""
        return [notes.seconds for notes in self._notes]

    @property
    def losses(self) -> list[dict[str, float]]:
        """Is the mean training loss of each site in each closed round."""
        return [notes.loss for notes in self._notes]

    def joined_in(self, index: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns who has joined in a closed round, and who had before; see `taking_part.joined_in`."""
        return joined_in(self._notes, index)

    def close_first_model(self, absences: Absences, given_by: str | None) -> None:
        """Keeps who gave the first model and who gave none; raises what `close_round` does."""
        self._no_first_model, self._first_model_from = absences, given_by
        self._audit(self._events("initialize", None, absences))

    def close_round(self, notes: RoundNotes) -> None:
        """Keeps the notes of a round that ended, committed or not.

        Raises:
            LedgerError: The audit log cannot be trusted or written.
        """
        notes.unscored, self.unscored = self.unscored, Absences()
        self._notes.append(notes)
        index, trained = len(self._notes) - 1, Absences(missing=notes.missing, refused=notes.refused)
        asked = {"train": trained, "secure_aggregation": notes.afterwards, "contribution": notes.unscored}
        absent = [event for task, absences in asked.items() for event in self._events(task, index, absences)]
        self._audit([*taken_events(self._event("answer", "train", index), notes), *absent])

    def close_validation(self, absences: Absences) -> None:
        """Keeps who gave no score of the last model; raises what `close_round` does."""
        self._unvalidated = absences
        self._audit(self._events("validation", None, absences))

    def close_test(self, absences: Absences) -> None:
        """Keeps who gave no score of the tested model; raises what `close_round` does."""
        self._untested = absences
        self._audit(self._events("test", None, absences))

    def _events(self, task: str, index: int | None, absences: Absences) -> list[AuditEvent]:
        event = self._event("answer", task, index)
        outcomes: dict[Outcome, dict[str, str]] = {"refused": absences.refused, "missing": absences.missing}
        return [
            event(outcome=outcome, site=site, reason=reason)
            for outcome, reasons in outcomes.items()
            for site, reason in sorted(reasons.items())
        ]

    def began(self, outcome: Literal["started", "resumed"], hashes: dict[HashName, str]) -> None:
        """Tells the audit that an attempt at the run begins, with which model; raises what `close_round` does."""
        self._audit([self._event("run", "", None)(outcome=outcome, hashes=hashes)])

    def committed(self, index: int, hashes: dict[HashName, str], late_of: str | None = None) -> None:
        """Tells the audit of a round that counts, with the model before and after; raises what `close_round` does.

        Args:
            index: The round.
            hashes: Of the models.
            late_of: The job that committed it, where that was cut off before it could tell; None for this one.
        """
        event = self._event("round", "", index)(outcome="done", hashes=hashes)
        late = {"job_id": late_of, "reason": f"committed by job {late_of}, and recorded when the run went on"}
        self._audit([event.model_copy(update=late) if late_of else event])

    def released(self, index: int, sha256: str) -> None:
        """Tells the audit of a model with the server's noise, before anybody gets it; raises as `close_round` does."""
        self._audit([self._event("release", "", index)(outcome="done", hashes={"model": sha256})])

    def ended(self, status: RunStatus, reason: str | None, hashes: dict[HashName, str]) -> None:
        """Tells the audit how the attempt ended; raises what `close_round` does."""
        self._audit([self._event("run", "", None)(outcome=status, reason=(reason or "")[:MAX_REASON], hashes=hashes)])

    def _event(self, kind: Kind, task: str, index: int | None) -> Callable[..., AuditEvent]:
        run_key, job_id = self._identity.run_key, self._identity.job_id
        return partial(AuditEvent, kind=kind, run_key=run_key, job_id=job_id, task=task, round=index)

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
            no_first_model=self._no_first_model,
            rounds=tuple(self._record(index, rounds) for index in range(len(self._notes))),
            model=models[0],
            best_model=models[1],
            **self._scored(),
            **self._claimed(rounds),
            beside_rounds=self._beside_rounds,
            started=identity.started,
            finished=finished,
            versions=identity.versions,
            **self._attempted,
        )

    def snapshot(self) -> Snapshot:
        """Returns what is noted of the rounds until now, and of what came before them."""
        notes = _NOTES.dump_python(self._notes, mode="json")
        absent = self._no_first_model.model_dump(mode="json")
        plain = {"refused_cases": dict(self.refused_cases), "first_model_up": self.first_model_up}
        plain["first_model_from"] = self._first_model_from
        return Snapshot({"notes": notes, "no_first_model": absent, "elsewhere": sorted(self.scored_elsewhere)} | plain)

    def restore(self, kept: Snapshot) -> None:
        """Takes back what was noted; nothing of it goes to the audit a second time."""
        self._notes = _NOTES.validate_python(kept.values["notes"])
        self._no_first_model = Absences(**kept.values["no_first_model"])
        self.scored_elsewhere = set(kept.values["elsewhere"])
        # A journal of before that was noted does not say it.
        self._first_model_from = kept.values.get("first_model_from")
        self.refused_cases = dict(kept.values["refused_cases"])
        self.first_model_up = kept.values["first_model_up"]

    @property
    def _beside_rounds(self) -> BesideRounds:
        down = {"validation_down": self.validation_down, "test_down": self.test_down}
        return BesideRounds(first_model_up=self.first_model_up, **down)

    @property
    def _attempted(self) -> dict[str, Any]:
        attempts = self._identity.attempts
        repeated = repeated_rounds(attempts, self._identity.rounds_planned)
        return {"attempts": attempts, "repeated_rounds": repeated, "site_versions": self.site_versions}

    def _scored(self) -> dict[str, Any]:
        """Returns the outcome's values that come from the sites' cases, apart from those of single rounds."""
        scored = {"test": self.test, "personal": self.personal, "refused_cases": self.refused_cases}
        return scored | {"unvalidated": self._unvalidated, "untested": self._untested}

    def _claimed(self, rounds: Rounds | None) -> dict[str, Any]:
        """Returns the outcome's values that are about privacy, and what the run began with."""
        claim = self._claim(rounds)
        said = {"privacy": claim.text, "guarantee": claim.guarantee, "channels": claim.channels}
        return said | {"start_from": self._identity.start_from, "first_model_from": self._first_model_from}

    def _claim(self, rounds: Rounds | None) -> Claim:
        """Returns what may be said of the run.

        More than its job says where every site's cases were public, and less where the job had filters at the sites.
        """
        replies = [notes.answered <= notes.public for notes in self._notes if notes.answered]
        known = {site for notes in self._notes for site in notes.public}
        scored = {site for scores in (rounds.validation if rounds else ()) for site in scores}
        only_public = bool(replies) and all(replies) and scored <= known and not self.scored_elsewhere
        claim = self._identity.claim.on_public_cases() if only_public else self._identity.claim
        said = {site: note for notes in self._notes for site, note in notes.filters.items()}
        return claim.through_filters(said) if said else claim

    def _record(self, index: int, rounds: Rounds | None) -> RoundRecord:
        notes = self._notes[index]
        scored = rounds is not None and index < len(rounds.validation)
        return RoundRecord(
            round=index,
            seconds=notes.seconds,
            contributed=notes.contributed,
            missing=notes.missing,
            refused=notes.refused,
            afterwards=notes.afterwards,
            unscored=notes.unscored,
            evaluation_only=tuple(sorted(notes.evaluation_only)),
            loss=notes.loss,
            validation=rounds.validation[index] if rounds and scored else {},
            filters=notes.filters,
            contribution=notes.contribution,
            codecs=notes.codecs,
            not_selected=notes.not_selected,
            slow=notes.slow,
            bytes_up=notes.bytes_up,
            bytes_down=notes.bytes_down,
            secure_bytes_up=notes.secure_bytes_up,
            secure_bytes_down=notes.secure_bytes_down,
            contribution_bytes_down=notes.contribution_bytes_down,
        )
