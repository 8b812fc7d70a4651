"""The sites' replies to one round, as they arrive: each is taken as a whole or not at all."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.errors import UpdateError
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.reply_values import read_refused_cases, read_validation
from fedvoxel.federation.round_notes import RoundNotes, read_filter_note
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.vetting import Vetting
from fedvoxel.flare.messages import refusal_of
from fedvoxel.flare.run_view import RunView
from fedvoxel.privacy.receipts import Receipts
from fedvoxel.updates.array_hash import hash_of_arrays
from fedvoxel.updates.compression.payload import decode, payload_of
from fedvoxel.updates.secure.masked import masked_of
from fedvoxel.updates.update import PUBLIC_WEIGHT, Update

Take = Callable[[str, FLModel], None]
"""Takes a site's name and reply, or refuses it."""


class RoundReplies:
    """Hands what sites reply to one round on to the run's rounds, notes and view."""

    def __init__(
        self,
        rounds: Rounds,
        notes: RoundNotes,
        vetting: Vetting,
        recorder: RunRecorder,
        view: RunView,
        receipts: Receipts | None = None,
    ) -> None:
        """Starts with no reply; `receipts` notes every accepted update of a job with a privacy section."""
        self.notes = notes
        self.seconds: dict[str, float] = {}
        """Seconds from the start of the round to each accepted update."""
        self._started = time.monotonic()
        self.updates: dict[str, Update] = {}
        """The accepted updates, where the job asks what each is worth."""
        self._rounds, self._vetting, self._recorder = rounds, vetting, recorder
        self._view, self._receipts = view, receipts

    def tell(self, selector: Selector) -> None:
        """Tells who chooses the sites what those that were asked have brought."""
        for site, seconds in self.seconds.items():
            selector.note(site, self._rounds.round, self.notes.contributed[site], self.notes.loss.get(site), seconds)
        for site in self.notes.missing | self.notes.refused:
            selector.note_missed(site)

    def asked_instead(self, sites: Iterable[str]) -> None:
        """Notes sites that were not chosen at first, and are asked after all."""
        for site in sites:
            del self.notes.not_selected[site]
            self._view.site(site, "training")

    def noting(self, take: Take) -> Take:
        """Returns `take`, which then leaves a note of each reply that it refuses."""

        def noted(site: str, reply: FLModel) -> None:
            try:
                take(site, reply)
            except Exception as error:
                self.notes.refuse(site, refusal_of(error))
                raise

        return noted

    def take_masked(self, add: Callable[[str, bytes], None], site: str, reply: FLModel) -> None:
        """Takes a site's reply to a round of secure aggregation.

        Args:
            add: Adds the masked update to the sum.
            site: Who replies.
            reply: Holds a masked update, and perhaps a validation score.

        Raises:
            UpdateError: It is not acceptable; nothing of it is taken.
        """
        self._vetting.check_named(reply.meta, self._rounds.round)
        score = self._score(site, reply.meta, None)
        written = masked_of(reply.params or {})
        if written is None:
            raise UpdateError("expected a masked update, got plain arrays or none")
        named = reply.meta.get("release_id")
        release_id = self._receipts.check(site, self._rounds.round, named) if self._receipts else None
        add(site, written)
        if self._receipts and release_id:
            self._receipts.add(site, self._rounds.round, release_id, reply.params or {})
        self._took(site, PUBLIC_WEIGHT, reply)
        if reply.meta.get("public") is True:
            self.notes.public.add(site)
        if score is not None:
            self._rounds.add_validation(site, score)

    def take(self, site: str, reply: FLModel) -> None:
        """Takes a site's reply.

        Raises:
            UpdateError: It is not acceptable; nothing of it is taken.
        """
        meta = reply.meta
        self._vetting.check_named(meta, self._rounds.round)
        score = self._score(site, meta, meta.get("case_count"))
        refused_cases = read_refused_cases(self._rounds.config, meta.get("refused_cases"))
        note = read_filter_note(meta.get("filter_note"))
        if not meta.get("case_count") and reply.params is None:
            self.notes.evaluation_only.append(site)
            self._view.site(site, "evaluation_only")
        else:
            self._take_update(site, reply)
        if meta.get("public") is True:
            self.notes.public.add(site)
        if note is not None:
            self.notes.filters[site] = note
        if score is not None:
            self._rounds.add_validation(site, score)
        if refused_cases is not None:
            self._recorder.refused_cases[site] = refused_cases

    def _take_update(self, site: str, reply: FLModel) -> None:
        meta = reply.meta
        if reply.params_type != ParamsType.DIFF:
            got = "full weights" if reply.params else "no arrays"
            raise UpdateError(f"expected a difference to the global model, got {got}")
        loss = meta.get("loss")
        if loss is not None and not (isinstance(loss, float) and math.isfinite(loss)):
            raise UpdateError("expected a finite number as the loss")
        arrays: Mapping[str, Any] = reply.params or {}
        payload = payload_of(arrays)
        if (payload is None) != (self._rounds.up is None):
            raise UpdateError(
                "expected plain arrays" if payload else "expected an encoded difference, got plain arrays"
            )
        if payload is not None:
            arrays = decode(payload, self._rounds.layout, self._rounds.up)
        case_count = meta.get("case_count")
        index, named = self._rounds.round, meta.get("release_id")
        release_id = self._receipts.check(site, index, named) if self._receipts else None
        update = Update(arrays, case_count if isinstance(case_count, int) else 0)
        digest = self._vetting.check(site, update, self._rounds.layout)
        self._rounds.add(site, update)
        self._vetting.accept(site, update, digest, index)
        if self._rounds.config.contribution:
            self.updates[site] = update
        if self._receipts and release_id:
            self._receipts.add(site, index, release_id, reply.params or {})
        self._took(site, int(case_count or 0), reply)
        if loss is not None:
            self.notes.loss[site] = loss

    def _score(self, site: str, meta: Mapping[str, Any], trains_on: Any) -> ValidationScore | None:
        told = meta.get("validation")
        if told is None:
            return None
        return self._vetting.weighed(site, read_validation(self._rounds.config, told), trains_on)

    def _took(self, site: str, cases: int, reply: FLModel) -> None:
        self.notes.update_hashes[site] = hash_of_arrays(reply.params or {})
        self.seconds[site] = time.monotonic() - self._started
        self.notes.contributed[site] = cases
        self._view.site(site, "replied")
