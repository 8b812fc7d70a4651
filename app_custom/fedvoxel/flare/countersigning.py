"""The server's side of countersigning: shows every site the head of the audit log, and records what each one says.

It goes beside the tasks, while the sites train the next round, so that nobody waits for it. Whatever goes wrong is
recorded and ends nothing. What the messages hold, and why, is said in `governance.countersigning`.
"""

import logging
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.export.trust import Trust
from fedvoxel.flare.messages import COUNTERSIGN_TOPIC
from fedvoxel.flare.state_folder import startup_folder
from fedvoxel.governance.countersigning import Answer, Question, question_for, taken
from fedvoxel.governance.log_notes import ServerNotes
from fedvoxel.records.audit import AuditLog, FollowedLog
from fedvoxel.records.identity import load_root

ANSWER_TIMEOUT_S = 10.0
_LAST_TIMEOUT_S = 25.0

_logger = logging.getLogger(__name__)


class Countersigning:
    """Asks in a thread of its own, one round after the other."""

    def __init__(self, fl_ctx: FLContext, log: AuditLog, run_key: str) -> None:
        """Touches no file."""
        self._engine, self._job_id = fl_ctx.get_engine(), str(fl_ctx.get_job_id())
        self._root = startup_folder(fl_ctx) / "rootCA.pem"
        self._log, self._run_key = log, run_key
        self._followed = FollowedLog(log, ServerNotes)
        self._thread = ThreadPoolExecutor(1, "countersigning")
        self._asked: list[Future[None]] = []

    def ask(self, sites: Collection[str], index: int | None) -> None:
        """Has the sites sign the log as it stands, in a while; `index` is the last round that it holds.

        Where a site keeps the others waiting for longer than a round takes, what was not asked yet is not asked any
        more: the newest head covers all before it.
        """
        self._asked = [asked for asked in self._asked if not asked.cancel() and not asked.done()]
        self._asked.append(self._thread.submit(self._ask, tuple(sites), index))

    def end(self, sites: Collection[str], index: int | None) -> None:
        """Asks for the last time, and waits for the answers, if need be until 25 seconds have passed."""
        self.ask(sites, index)
        wait(self._asked, _LAST_TIMEOUT_S)
        self.drop()

    def drop(self) -> None:
        """Asks for nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, sites: tuple[str, ...], index: int | None) -> None:
        try:
            trust = Trust(load_root(self._root))
            again = self._record(sites, index, trust, first=True)
            if again:
                self._record(again, index, trust, first=False)
        except FedVoxelError as error:
            _logger.error("event=not_countersigned reason=%s", error)
        except Exception:
            # A signature that is missing ends nothing, whatever FLARE raises; the log has a gap that people can see.
            _logger.exception("event=not_countersigned")

    def _record(self, sites: Collection[str], index: int | None, trust: Trust, first: bool) -> list[str]:
        """Asks and records once; returns the sites to ask again, which had signed another head than was known."""
        question = self._question(sites, index)
        answers, now = self._send(sites, question), datetime.now(UTC)
        self._log.record([taken(question, answers[site], site, self._job_id, trust, now) for site in sites])
        return [site for site in sites if first and _needs_another_proof(question, answers[site])]

    def _question(self, sites: Collection[str], index: int | None) -> Question:
        return question_for(self._followed.noted(), sites, self._run_key, index)

    def _send(self, sites: Collection[str], question: Question) -> dict[str, Answer | None]:
        # A site of the run need not be in this attempt. FLARE asks nobody where it knows one name too few, and all
        # where it is given none.
        here = {client.name for client in self._engine.get_clients()}
        asked, sent = [site for site in sites if site in here], None
        request = Shareable()
        request["question"] = question.model_dump(mode="json")
        if asked:
            with self._engine.new_context() as fl_ctx:
                # FLARE 2.9's multicast_aux_requests, with a request for each, fails whatever it is given.
                sent = self._engine.send_aux_request(
                    asked, COUNTERSIGN_TOPIC, request, ANSWER_TIMEOUT_S, fl_ctx, optional=True
                )
        return {site: _answer((sent or {}).get(site)) for site in sites}


def _answer(reply: Any) -> Answer | None:
    """Returns what a site has answered; None where nothing came, or nothing that can be read."""
    if not isinstance(reply, Shareable) or reply.get_return_code(ReturnCode.OK) != ReturnCode.OK:
        return None
    try:
        return parse_config(Answer, reply.get("answer"), "the countersignature")
    except ConfigError:
        return None


def _needs_another_proof(question: Question, answer: Answer | None) -> bool:
    if answer is None or answer.signature is not None:
        return False
    return answer.known not in question.proofs and 0 < answer.known < question.shown.entries
